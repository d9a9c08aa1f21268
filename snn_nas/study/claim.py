"""A claim as it is written down: which network, against what, on which data, with how many seeds and tuning tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from neurons.settings import Setting, nearest
from rules.registry import SHORT, Pair, names, pair
from snn_nas.controls import Rule, rule
from snn_nas.evaluation import EvaluationSettings
from snn_nas.genotype import Genotype, parse
from snn_nas.yaml_file import read_yaml

KEYS = ("name", "genotype", "rules", "random", "others", "seeds", "first_seed", "tuning", "settings")
TUNING = {"lr": (0.5, 1.0, 2.0), "threshold": (1.0, 0.5), "seeds": 1}
RESERVED = ("mix", "bp", "random")


@dataclass(frozen=True)
class Claim:
    """What a study runs.

    Attributes:
        name: of the study, in its record.
        genotype: the mix that was found.
        rules: the single rules that it is compared with, and from which random assignments draw; by default
            `every_rule`. `frozen` and bp are always compared with.
        random: number of random assignments; run k takes assignment k and seed k, so that a run differs from the next
            in both, as a search's luck does.
        others: further mixes of the same architecture, by name; they are compared with bp.
        seeds: runs of every contestant.
        first_seed: of the runs; tuning takes others.
        lr: factors on every rule's learning rate that are tried.
        threshold: factors on every neuron's threshold that are tried: how hard neurons are driven decides what
            `frozen` is worth, so everyone gets the choice.
        tuning_seeds: runs of each try.
        settings: data and budget of every run.
    """

    name: str
    genotype: Genotype
    rules: tuple[str, ...]
    random: int = 6
    others: Mapping[str, Genotype] = field(default_factory=dict)
    seeds: int = 6
    first_seed: int = 0
    lr: tuple[float, ...] = TUNING["lr"]  # type: ignore[assignment]
    threshold: tuple[float, ...] = TUNING["threshold"]  # type: ignore[assignment]
    tuning_seeds: int = 1
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    @property
    def singles(self) -> tuple[Rule, ...]:
        """The rules, read."""
        return tuple(map(rule, self.rules))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; equal claims give equal ones."""
        settings = asdict(self.settings)
        for where in ("root", "start", "keep"):  # where files lie is no part of the claim
            settings.pop(where)
        return {
            "name": self.name,
            "genotype": str(self.genotype),
            "rules": list(self.rules),
            "random": self.random,
            "others": {name: str(genotype) for name, genotype in self.others.items()},
            "seeds": self.seeds,
            "first_seed": self.first_seed,
            "tuning": {"lr": list(self.lr), "threshold": list(self.threshold), "seeds": self.tuning_seeds},
            "settings": settings,
        }


def read(path: Path) -> dict[str, Any]:
    """A claim's file: a YAML mapping.

    Raises:
        UserError: no such file, or no mapping.
    """
    try:
        given = read_yaml(path)
    except UserError as error:
        raise UserError(f"{error}; give a claim's YAML file, or --genotype") from error
    if not isinstance(given, dict):
        raise UserError(f"{path} is no YAML mapping of {', '.join(KEYS)}")
    return given


def claim(given: Mapping[str, Any]) -> Claim:
    """Read a mapping of `KEYS`; only `genotype` has no default.

    Raises:
        UserError: whatever is missing, unknown or out of range.
    """
    _known(given, KEYS, "a claim")
    if not isinstance(given.get("genotype"), str):
        raise UserError("a claim needs a genotype: the text of the mix that was found")
    genotype = parse(given["genotype"])
    tuning = {**TUNING, **_mapping(given, "tuning")}
    _known(tuning, TUNING, "a claim's tuning")
    settings = _mapping(given, "settings")
    for name in ("start", "keep"):
        if name in settings:
            raise UserError(f"settings: {name}: a search's trials take it; all of a study's networks begin anew")
    return Claim(
        name=str(given.get("name", "study")),
        genotype=genotype,
        rules=_rules(every_rule() if given.get("rules") is None else given["rules"]),
        random=_whole(given.get("random", Claim.random), 0, "random"),
        others=_others(_mapping(given, "others")),
        seeds=_whole(given.get("seeds", Claim.seeds), 2, "seeds"),
        first_seed=_whole(given.get("first_seed", 0), 0, "first_seed"),
        lr=_factors(tuning["lr"], "lr"),
        threshold=_factors(tuning["threshold"], "threshold"),
        tuning_seeds=_whole(tuning["seeds"], 1, "tuning: seeds"),
        settings=EvaluationSettings.of(settings),
    )


def every_rule() -> tuple[str, ...]:
    """All that can train every hidden layer of a network, but for bp: what a mix must beat to beat every single rule.

    An update that needs an error from above and whose name says nothing of how it is handed on hands it on by `usf`;
    by `exact` it would be back-propagation's. Where feedback stays as drawn unless one says otherwise, it is there as
    learned as well.
    """
    found = []
    for name in names():
        each = pair(name)
        declaration, ends = each.declaration, _keeps_its_error(each)
        if name in ("bp", "frozen") or declaration.readout or (ends and Pair(declaration, "usf").name in SHORT):
            continue
        found.append(f"{name}~usf" if ends else name)
        if (feedback := declaration.settings.get("feedback")) is not None and feedback.default == "random":
            found.append(f"{name}(feedback=learned)")
    return tuple(found)


def _rules(given: Any) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise UserError(f"rules is a list of at least one rule, not {given!r}")
    found = dict.fromkeys(rule(str(name)) for name in given if str(name) not in ("frozen", "bp"))
    for each in found:
        if each.pair.declaration.readout:
            raise UserError(f"rule {str(each)!r} is the readout's, no hidden layer's")
        if _keeps_its_error(each.pair):
            raise UserError(f"rule {str(each)!r} on every layer must hand its error on: write {each}~usf")
    return tuple(map(str, found))


def _keeps_its_error(rule: Pair) -> bool:
    """Whether it needs an error from above and hands none on: then it cannot be every layer's."""
    return rule.declaration.error == "transported" and rule.transport == "none"


def _others(given: Mapping[str, Any]) -> dict[str, Genotype]:
    for name in given:
        if not str(name).isidentifier() or name in RESERVED:
            raise UserError(f"others: {name!r} is no name for another mix; choose one word other than mix, random, bp")
    return {str(name): parse(str(text)) for name, text in given.items()}


def _factors(given: Any, name: str) -> tuple[float, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise UserError(f"tuning: {name} is a list of factors, such as [0.5, 1, 2], not {given!r}")
    return tuple(dict.fromkeys(float(Setting(1.0, 1e-3, 1e3).check(value, f"tuning: {name}")) for value in given))


def _whole(value: Any, low: int, name: str) -> int:
    return int(Setting(low, low).check(value, f"a claim's {name}"))


def _mapping(given: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = given.get(key) or {}
    if not isinstance(value, Mapping):
        raise UserError(f"a claim's {key} is a mapping, not {value!r}")
    return dict(value)


def _known(given: Mapping[str, Any], known: Any, owner: str) -> None:
    for key in given:
        if key not in known:
            raise UserError(f"{owner} has no {key!r}{nearest(str(key), known)}")
