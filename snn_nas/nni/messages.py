"""What travels between tuner and trial: the parameters of a trial, and its final result."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from neurons.errors import UserError
from neurons.settings import Value
from snn_nas.genotype import Genotype, parse
from snn_nas.search.result import STATUSES, Result, Status
from snn_nas.search.strategy import Space, trial_seed

GENOTYPE, SEED, BARS, PARENT, WEIGHTS = "genotype", "trial_seed", "stop_below", "parent", "weights"
"""The parameters that are ours. The others are the space's encoding, there for NNI's tables and plots."""

UNPROTECTED = "UNPROTECTED"
"""A parameter of every trial whose manager anybody may reach: NNI's page shows it beside the others, in every row."""

OPEN_PAGE = "this page and its API are open to EVERY network interface, without a login"
TITLE_WARNING = "UNPROTECTED, no login: "
"""How the experiments' names begin. NNI's page shows the name as its title, and a manager that is started by us or
mended by `manager.js` takes this off, for there it is not true: so who reads it should be warned."""


class EncodedSpace(Space, Protocol):
    """A space that NNI can show."""

    def encode(self, genotype: Genotype) -> dict[str, Value]: ...  # noqa: D102
    def decode(self, parameters: Mapping[str, Any]) -> Genotype: ...  # noqa: D102
    def search_space(self) -> dict[str, dict[str, Any]]: ...  # noqa: D102


def parameters(
    space: EncodedSpace,
    genotype: str,
    search_seed: int,
    bars: Sequence[float] = (),
    unprotected: bool = False,
    heritage: Mapping[str, str] | None = None,
) -> dict[str, Value]:
    """The parameters of a trial. The genotype's text is the authority, so that trials need not know the space.

    `bars` are what its accuracy must reach, epoch by epoch (`search/early_stop.py`), written as text because NNI's page
    takes a list for a nested choice. `heritage` are its parent's digest and the folder of all weights, if there is one.
    """
    parsed = parse(genotype)
    given: dict[str, Value] = {**space.encode(parsed), GENOTYPE: genotype, SEED: trial_seed(search_seed, parsed.digest)}
    if any(bars):
        given[BARS] = numbers(bars)
    given |= heritage or {}
    if unprotected:
        given[UNPROTECTED] = OPEN_PAGE
    return given


def numbers(values: Sequence[float]) -> str:
    """Numbers as one text, to the last bit; `read_numbers` gives them back."""
    return " ".join(map(repr, values))


def read_numbers(text: Any) -> list[float]:
    """The numbers of a text; none if it is no such text."""
    try:
        return [float(word) for word in str(text or "").split()]
    except ValueError:
        return []


def final_metric(result: Result) -> dict[str, float | str]:
    """The final result as NNI takes it: `default` is what its plots show, every key a column of its table."""
    accuracy = result.metrics.get("accuracy", 0.0) if result.status in ("ok", "stopped") else 0.0
    return {
        "default": accuracy,
        **result.metrics,
        "status": result.status,
        "reason": result.reason,
        "seed": result.seed,
        "epochs": result.epochs,
        "curve": numbers(result.curve),
        **({"parent": result.parent} if result.parent else {}),
        "digest": result.digest,
        "genotype": result.genotype,
    }


def result_of(value: Any, given: Mapping[str, Any] | None = None) -> Result | None:
    """Read a final result back; `given` are the trial's parameters, for a foreign trial that reports a bare number.

    None if neither says which genotype the result is of.
    """
    fields = dict(value) if isinstance(value, Mapping) else {"default": value}
    text = fields.pop("genotype", None) or (given or {}).get(GENOTYPE)
    if not isinstance(text, str):
        return None
    try:
        digest = parse(text).digest
    except UserError:
        return None
    status = fields.pop("status", "ok")
    reason, seed, epochs = str(fields.pop("reason", "")), fields.pop("seed", 0), fields.pop("epochs", 0)
    fields.pop("digest", None)
    parent = str(fields.pop("parent", ""))
    default, curve = fields.pop("default", None), read_numbers(fields.pop("curve", ""))
    metrics = {name: number for name, value in fields.items() if (number := _number(value)) is not None}
    if status == "ok" and "accuracy" not in metrics and (number := _number(default)) is not None:
        metrics["accuracy"] = number
    known = cast(Status, status if status in STATUSES else "failed")
    seed, epochs = (int(_number(value) or 0) for value in (seed, epochs))
    return Result(text, digest, known, metrics, reason, seed, epochs, tuple(curve), parent)


def _number(value: Any) -> float | None:
    """A finite number of whatever a trial reported, or nothing."""
    if not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        return None
    return value
