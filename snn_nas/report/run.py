"""Reads the folder of a run: `trials.jsonl`, and where they exist `search.json` and `winner/winner.json`.

A search that is still going has no winner yet, and is reported without one. Files are bounded before they are read.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from snn_nas.credit import SHARES, Credit, check
from snn_nas.genotype import parse
from snn_nas.report.fields import Fields
from snn_nas.search.journal import Journal
from snn_nas.search.objective import Objective, objectives
from snn_nas.search.pareto import pareto
from snn_nas.search.result import STATUSES, Result
from snn_nas.spaces import registry as spaces

MAX_BYTES = 64 * 2**20
"""A larger file is refused unread: 100,000 trials need about 50 MB."""

UNKNOWN_PROFILE = "profile not recorded"

_DEFAULT = ("accuracy", "energy_uJ")


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer of the winner is and costs, per inference."""

    name: str
    rule: str
    share: str
    weights: int
    rate: float | None
    spikes: float | None
    synops: float
    microjoules: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch of the winner's training."""

    number: int
    loss: float
    accuracy: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class RateTwin:
    """The quantised rate network of as many bits as the spiking one's steps carry."""

    bits: int
    microjoules: float
    wins: str
    turning_rate: float | None


@dataclass(frozen=True)
class Winner:
    """The network that the search chose, trained in full."""

    genotype: str
    digest: str
    data: str
    data_title: str
    shape: tuple[int, int, int]
    classes: int
    profile: str
    metrics: Mapping[str, float]
    twin: Mapping[str, float] | None
    rate_twin: RateTwin | None
    shares: Mapping[str, float]
    layers: tuple[Layer, ...]
    history: tuple[Epoch, ...]
    conditions: Mapping[str, Any]
    files: Mapping[str, str]
    nir_reason: str

    @cached_property
    def credit(self) -> Credit:
        """The winner's graph, and which error reaches each layer.

        Raises:
            UserError: the genotype does not parse or is invalid.
        """
        return check(spaces.graph(parse(self.genotype), self.shape, self.classes))


@dataclass(frozen=True, slots=True)
class Search:
    """How the search was run; `front` are the objectives of the Pareto front, by default those that it optimised."""

    experiment: str = ""
    config: str = ""
    strategy: str = ""
    space: str = ""
    size: int | None = None
    objectives: tuple[Objective, ...] = field(default_factory=lambda: objectives(_DEFAULT))
    front: tuple[Objective, ...] = field(default_factory=lambda: objectives(_DEFAULT))
    seed: int | None = None
    trials: int | None = None
    seconds: float | None = None
    profile: str = ""
    data: str = ""
    data_name: str = ""
    reproduce: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run as it lies on the disk."""

    folder: Path
    search: Search
    results: tuple[Result, ...]
    winner: Winner | None

    @cached_property
    def front(self) -> tuple[Result, ...]:
        """The results that no other dominates in `search.front`, most accurate first."""
        return tuple(pareto(self.results, self.search.front))

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many trials ended in each way."""
        ended = Counter(result.status for result in self.results)
        return {status: ended[status] for status in STATUSES}  # type: ignore[index]

    @property
    def profile(self) -> str:
        """The name of the energy profile that every figure of the run was counted on."""
        return (self.winner.profile if self.winner else "") or self.search.profile or UNKNOWN_PROFILE

    @property
    def title(self) -> str:
        """The data set's title, where it is known."""
        return self.winner.data_title if self.winner else self.search.data


def load(folder: Path) -> Run:
    """Read a run.

    Raises:
        UserError: the folder holds no run or no trial yet, or a file of it is broken; the message names the file.
    """
    trials = folder / "trials.jsonl"
    if not trials.is_file():
        trials = folder / "checkpoint" / "journal.jsonl"  # the tuner's own, while the search runs
    if not trials.is_file():
        raise UserError(f"{folder} is no run of a search: it has neither trials.jsonl nor a tuner's journal")
    _bounded(trials)
    results = []
    for number, record in enumerate(Journal(trials).read(), 1):
        try:
            results.append(Result.from_json({key: value for key, value in record.items() if key != "job"}))
        except (UserError, TypeError, AttributeError) as error:
            raise UserError(f"{trials}, line {number}: {error}") from None
    if not results:
        raise UserError(f"{trials} is empty: no trial has ended yet")
    return Run(folder, _search(folder / "search.json"), tuple(results), _winner(folder / "winner" / "winner.json"))


def _bounded(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path} is larger than {MAX_BYTES // 2**20} MB: this is no file of a search")


def _read(path: Path) -> Fields | None:
    if not path.is_file():
        return None
    _bounded(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is no JSON: {error}") from None
    if not isinstance(record, dict):
        raise UserError(f"{path} holds no JSON object")
    return Fields(record, str(path))


def _search(path: Path) -> Search:
    fields = _read(path)
    if fields is None:
        return Search()
    named = fields.texts("objectives") or _DEFAULT
    try:
        chosen, front = objectives(named), objectives(fields.texts("front") or named)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Search(
        experiment=fields.text("experiment", ""),
        config=fields.text("config", ""),
        strategy=fields.text("strategy", ""),
        space=fields.text("space", ""),
        size=fields.maybe_integer("space_size"),
        objectives=chosen,
        front=front,
        seed=fields.maybe_integer("seed"),
        trials=fields.maybe_integer("trials"),
        seconds=fields.maybe_number("seconds"),
        profile=fields.text("profile", ""),
        data=fields.text("data_title", fields.text("data", "")),
        data_name=fields.text("data", ""),
        reproduce=fields.texts("reproduce"),
    )


def _winner(path: Path) -> Winner | None:
    fields = _read(path)
    if fields is None:
        return None
    shape = tuple(int(side) for side in fields.numbers("shape"))
    if len(shape) != 3 or min(shape) < 1:
        raise UserError(f"{path}: shape is [channels, height, width], not {list(shape)}")
    files = fields.part("files")
    winner = Winner(
        genotype=fields.text("genotype"),
        digest=fields.text("digest"),
        data=fields.text("data"),
        data_title=fields.text("data_title", fields.text("data")),
        shape=shape,
        classes=fields.integer("classes"),
        profile=fields.text("profile"),
        metrics=fields.metrics("metrics") or {},
        twin=fields.metrics("twin"),
        rate_twin=_rate_twin(fields),
        shares={share: value for share in SHARES if (value := fields.part("shares").maybe_number(share)) is not None},
        layers=tuple(_layer(layer) for layer in fields.parts("layers")),
        history=tuple(_epoch(epoch) for epoch in fields.parts("history")),
        conditions=fields.part("conditions").record,
        files={name: files.text(name) for name in ("weights", "nir", "genotype") if files.record.get(name)},
        nir_reason=files.text("nir_reason", ""),
    )
    try:
        known = {node.name for node in winner.credit.graph.layers}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if odd := [layer.name for layer in winner.layers if layer.name not in known]:
        raise UserError(f"{path}: the genotype has no layer {odd[0]!r}")
    return winner


def _rate_twin(fields: Fields) -> RateTwin | None:
    if fields.record.get("rate_twin") is None:
        return None
    twin = fields.part("rate_twin")
    return RateTwin(
        twin.integer("bits"), twin.number("energy_uJ"), twin.text("wins"), twin.maybe_number("turning_rate")
    )


def _layer(layer: Fields) -> Layer:
    return Layer(
        layer.text("name"),
        layer.text("rule"),
        layer.text("share"),
        layer.integer("weights"),
        layer.maybe_number("rate"),
        layer.maybe_number("spikes"),
        layer.number("synops"),
        layer.number("energy_pJ") * 1e-6,
    )


def _epoch(epoch: Fields) -> Epoch:
    return Epoch(
        epoch.integer("number"), epoch.number("loss"), epoch.maybe_number("accuracy"), epoch.maybe_number("seconds")
    )
