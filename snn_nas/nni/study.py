"""A search on disk: strategy, journal and Pareto front under one folder. What the tuner is a skin of."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurons.errors import UserError
from neurons.settings import Setting, nearest
from snn_nas.genotype import Genotype, parse
from snn_nas.nni.messages import PARENT, WEIGHTS, EncodedSpace
from snn_nas.search import Journal, Ordered, Result, SpaceExhausted, create, objectives, pareto, trial_seed
from snn_nas.search.early_stop import early_stop
from snn_nas.search.files import write_json
from snn_nas.search.filtered import Filtered, filtered
from snn_nas.search.heritage import heritage
from snn_nas.training_settings import REVISION

if TYPE_CHECKING:
    from snn_nas.supernet.process import Progress

DEFAULTS: dict[str, Any] = {
    "space": None,
    "strategy": {"name": "evolution"},
    "objectives": ["accuracy"],
    "front": ["accuracy", "energy_uJ"],
    "seed": 0,
    "lag": None,
    "early_stop": None,
    "inherit": False,
    "filter": None,
}
"""The tuner's classArgs. `space` is `{name, data, ...choices}`, `strategy` is `{name, ...settings}`; `objectives` are
what the strategy optimises, `front` those whose Pareto front is kept; `lag` is explained in `search/ordered.py`,
`early_stop` in `search/early_stop.py`, `inherit` in `search/heritage.py`, `filter` in `search/filtered.py`."""

FORMAT = 3
"""Of the state file: it names the hash of its content, so that whatever befell the file is found before it is used."""


class Study:
    """Proposals and results of one experiment. Every change is on the disk when its method returns."""

    def __init__(self, folder: Path, given: Mapping[str, Any]) -> None:
        """Start, or continue what the folder holds.

        Raises:
            UserError: a setting is unknown or wrong, or the folder holds a search with other settings.
        """
        for key in given:
            if key not in DEFAULTS:
                raise UserError(f"the tuner has no setting {key!r}{nearest(key, DEFAULTS)}")
        settings = {**DEFAULTS, **given}
        self.seed = int(Setting(0, low=0).check(settings["seed"], "the tuner's seed"))
        lag = settings["lag"]
        self.lag_given = lag is not None
        lag = int(Setting(1, low=1).check(lag, "the tuner's lag")) if self.lag_given else 1
        self.space = build_space(settings["space"])
        self.space_given = settings["space"]
        fronts = _names(settings["front"], "front")
        self.front = objectives(fronts)
        self.early_stop = early_stop(settings["early_stop"])
        self.heritage = heritage(settings["inherit"], folder.absolute() / "weights")
        name, chosen = _strategy(settings["strategy"])
        goals = _names(settings["objectives"], "objectives")
        wanted = objectives(goals)
        drawn_from = filtered(settings["filter"], self.space, settings["space"], self.seed)
        strategy = create(name, drawn_from, wanted, self.seed, **chosen)
        if isinstance(drawn_from, Filtered):
            drawn_from.serve(strategy)
        self.ordered = Ordered(strategy, lag)
        spelled = {**settings, "strategy": {"name": name, **chosen}, "objectives": goals, "front": fronts}
        self.asked = _changed(spelled, DEFAULTS)
        self.measured: dict[str, str] | None = None
        self.exhausted = False
        self.results: list[Result] = []
        self.best: list[Result] = []  # the front so far
        self.state_file, self.front_file = folder / "search.json", folder / "pareto.json"
        self.journal = Journal(folder / "journal.jsonl")
        self.started = self.state_file.exists()
        if self.started:
            self._restore()

    def start(self, concurrency: int) -> None:
        """Fix the lag at the first request; a continued search keeps its own."""
        if self.heritage is not None:
            self.heritage.folder.mkdir(exist_ok=True)
        if not self.started:
            if self.lag_given and self.ordered.lag < concurrency:
                raise UserError(f"lag: {self.ordered.lag} is less than trialConcurrency: {concurrency}")
            if not self.lag_given:
                self.ordered.lag = concurrency
            self.started = True
            self._save()

    def measured_with(self, evaluation: Mapping[str, Any], usual: Mapping[str, Any]) -> None:
        """Say what its trials are measured with, as far as that is not as `usual`: the same from the first to the last.

        Raises:
            UserError: the trials so far were measured with other settings.
        """
        given = _changed(evaluation, usual)
        if self.measured is None:
            self.measured = given
            if self.started:
                self._save()
        self._refuse_other(self.measured, given)

    @property
    def unprepared(self) -> bool:
        """Whether the strategy wants something trained before it can be asked: then `prepare`, at length."""
        return self.ordered.strategy.request() is not None

    def prepare(
        self, evaluation: Mapping[str, Any], on_progress: Callable[[Progress], None] | None = None
    ) -> dict[str, Any]:
        """Have the supernet trained that the strategy wants, in a process of its own: the answer for `prepared`.

        It changes nothing here, so that nobody need wait for it. `evaluation` are the settings of the trials.

        Raises:
            UserError: the space cannot be held in a supernet, or the settings or the data are wrong.
        """
        from snn_nas.supernet.process import train

        request = {**(self.ordered.strategy.request() or {}), "space": self.space_given, "evaluation": dict(evaluation)}
        return train(request, on_progress)

    def prepared(self, answer: Mapping[str, Any]) -> None:
        """Hand the strategy what it wanted; from here on it is part of the state."""
        self.ordered.strategy.supply(answer)
        self._save()

    def ask(self) -> str | None:
        """The next genotype; None if it depends on a result that is still out, or if there is none left."""
        try:
            genotype = self.ordered.ask()
        except SpaceExhausted:
            self.exhausted = True
            return None
        if genotype is None:
            return None
        self._save()
        return str(genotype)

    def bars(self, genotype: str) -> list[float]:
        """What this trial's accuracy must reach after each epoch, or nothing.

        They come from the results that the proposal was drawn from, so they are the same whenever they are asked for.
        """
        if self.early_stop is None:
            return []
        order = self.ordered.order
        position = order.index(parse(genotype).digest)
        before = set(order[: max(0, position + 1 - self.ordered.lag)])
        learned = [r.curve for r in self.results if r.digest in before and r.status in ("ok", "stopped")]
        return self.early_stop.bars(learned)

    def inheritance(self, genotype: str) -> dict[str, str]:
        """The parameters of this trial that say whose weights it starts from, and where all of them lie."""
        if self.heritage is None:
            return {}
        parent = self.heritage.parent(self.ordered, parse(genotype).digest)
        return {PARENT: parent, WEIGHTS: str(self.heritage.folder)}

    def tell(self, result: Result, job: str = "") -> bool:
        """Take a result; false if it is of no genotype that is outstanding."""
        if not self.ordered.tell(result):
            return False
        self.journal.append({**result.to_json(), "job": job})
        self._took(result)
        self._save()
        if self.heritage is not None:
            self.heritage.prune(self.ordered)
        return True

    def give_up(self, genotype: str, job: str, reason: str) -> bool:
        """Call a trial failed that ended without a result; false if it has one."""
        for candidate in self.outstanding():
            if str(candidate) == genotype:
                seed = trial_seed(self.seed, candidate.digest)
                return self.tell(Result(genotype, candidate.digest, "failed", {}, reason, seed), job)
        return False

    def outstanding(self) -> list[Genotype]:
        """What was proposed and has no result."""
        return self.ordered.outstanding()

    def _took(self, result: Result) -> None:
        self.results.append(result)
        self.best = pareto([*self.best, result], self.front)
        members = [member.to_json() for member in self.best]
        write_json(self.front_file, {"objectives": [objective.name for objective in self.front], "front": members})

    def _save(self) -> None:
        state = self.ordered.state_dict()
        settings = {"tuner": self.asked, "trials": self.measured, "training": REVISION}
        whole = {"format": FORMAT, "hash": _hash([state, settings]), "search": state, "settings": settings}
        write_json(self.state_file, whole)

    def _restore(self) -> None:
        """Load the state, then tell it what the journal knows and the state does not (a kill between the two)."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
            if state["format"] in range(1, FORMAT):
                self._refuse_older()
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}")
            settings = state["settings"]
            if state["hash"] != _hash([state["search"], settings]):
                raise ValueError("its hash is another")
            if settings["training"] != REVISION:
                self._refuse_older()
            self._refuse_other(settings["tuner"], self.asked)
            self.measured = settings["trials"]
            self.ordered.load_state_dict(state["search"])
        except UserError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise UserError(f"{self.state_file} is no state of a search ({error})") from error
        for result in read_journal(self.journal):
            self.ordered.tell(result)
            self._took(result)
        self._save()

    def _refuse_older(self) -> None:
        folder = self.state_file.parent
        raise UserError(f"{folder} holds a search of another version, which trains otherwise: give another --out")

    def _refuse_other(self, kept: Mapping[str, str], given: Mapping[str, str]) -> None:
        if other := sorted(name for name in kept.keys() | given.keys() if kept.get(name) != given.get(name)):
            folder = self.state_file.parent
            raise UserError(f"{folder} holds a search with other settings ({', '.join(other)}): give another --out")


def _changed(given: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, str]:
    """The settings that are not as usual, as texts; `space.depth` is the name of one inside another."""
    known = _flat(usual)
    return {name: text for name, text in _flat(given).items() if text != known.get(name)}


def _flat(given: Mapping[str, Any]) -> dict[str, str]:
    parts: dict[str, Any] = {}
    for key, value in given.items():
        inner = value if isinstance(value, Mapping) else None
        parts |= {key: value} if inner is None else {f"{key}.{name}": part for name, part in inner.items()}
    return {name: json.dumps(_canonical(part), default=str) for name, part in parts.items()}


def _canonical(value: Any) -> Any:
    """Equal for equal settings: 1.0 is 1 (and True is not), and mappings have no order."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(value[key]) for key in sorted(value, key=str)}
    return [_canonical(part) for part in value] if isinstance(value, list | tuple) else value


def _hash(state: Any) -> str:
    return blake2b(json.dumps(state, sort_keys=True).encode(), digest_size=16).hexdigest()


def _names(given: Any, key: str) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(f"the tuner's {key} are names, such as [accuracy, energy_uJ], not {given!r}")
    return list(names)


def _strategy(given: Any) -> tuple[str, dict[str, Any]]:
    """Name and settings."""
    chosen = {"name": given} if isinstance(given, str) else given
    if not isinstance(chosen, Mapping) or not isinstance(chosen.get("name"), str):
        raise UserError(f"the tuner's strategy has no name: write {{name: evolution, ...}}, not {given!r}")
    settings = {str(key): value for key, value in chosen.items() if key != "name"}
    for key in ("seed", "space", "objectives"):
        if key in settings:
            raise UserError(f"a strategy has no {key} of its own: {key} is a setting of the tuner, beside `strategy`")
    return chosen["name"], settings


def read_journal(journal: Journal) -> list[Result]:
    """The journal's results, in the order in which they came."""
    return [
        Result.from_json({key: value for key, value in record.items() if key != "job"}) for record in journal.read()
    ]


def build_space(given: Any) -> EncodedSpace:
    """A space from `{name, data, ...choices}`: `data` names the data set whose images it is for. With `exportable: nir`
    it holds only what can be exported to that format.

    `{factory: "package.module:function", ...}` calls a function of the user's own with the remaining keys.

    Raises:
        UserError: a key is missing, or anything in it is unknown.
    """
    if not isinstance(given, Mapping):
        raise UserError("the tuner needs a space, such as `space: {name: chain, data: digits}`")
    choices = dict(given)
    if "factory" in choices:
        made: EncodedSpace = load_function(str(choices.pop("factory")))(**choices)
        return made
    if missing := {"name", "data"} - set(choices):
        raise UserError(f"the tuner's space has no {' and no '.join(sorted(missing))}")
    from snn_nas.data import describe
    from snn_nas.spaces import build

    name, entry = str(choices.pop("name")), describe(str(choices.pop("data")))
    target = choices.pop("exportable", None)
    if target is not None and not isinstance(target, str):
        raise UserError(f"the tuner's space: exportable is the name of a format, such as nir, not {target!r}")
    return build(name, shape=entry.shape, classes=entry.classes, choices=choices, exportable=target)


def load_function(path: str) -> Any:
    """Import `package.module:function`.

    Raises:
        UserError: there is no such module or function.
    """
    module, colon, name = path.partition(":")
    try:
        if not colon:
            raise ImportError("write it as package.module:function")
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{path}: {error}") from error


__all__: Sequence[str] = ["DEFAULTS", "Study", "build_space", "load_function", "read_journal"]
