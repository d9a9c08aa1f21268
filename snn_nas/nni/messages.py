"""What travels between tuner and trial: the parameters of a trial, and its final result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, cast

from neurons.errors import UserError
from neurons.settings import Value
from snn_nas.genotype import Genotype, parse
from snn_nas.search.result import STATUSES, Result, Status
from snn_nas.search.strategy import Space, trial_seed

GENOTYPE, SEED = "genotype", "trial_seed"
"""The two parameters that are ours. The others are the space's encoding, there for NNI's tables and plots."""


class EncodedSpace(Space, Protocol):
    """A space that NNI can show."""

    def encode(self, genotype: Genotype) -> dict[str, Value]: ...  # noqa: D102
    def decode(self, parameters: Mapping[str, Any]) -> Genotype: ...  # noqa: D102
    def search_space(self) -> dict[str, dict[str, Any]]: ...  # noqa: D102


def parameters(space: EncodedSpace, genotype: str, search_seed: int) -> dict[str, Value]:
    """The parameters of a trial. The genotype's text is the authority, so that trials need not know the space."""
    parsed = parse(genotype)
    return {**space.encode(parsed), GENOTYPE: genotype, SEED: trial_seed(search_seed, parsed.digest)}


def final_metric(result: Result) -> dict[str, float | str]:
    """The final result as NNI takes it: `default` is what its plots show, every key a column of its table."""
    accuracy = result.metrics.get("accuracy", 0.0) if result.ok else 0.0
    return {
        "default": accuracy,
        **result.metrics,
        "status": result.status,
        "reason": result.reason,
        "seed": result.seed,
        "epochs": result.epochs,
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
    default = fields.pop("default", None)
    metrics = {name: float(number) for name, number in fields.items() if isinstance(number, (int, float))}
    if status == "ok" and "accuracy" not in metrics and isinstance(default, (int, float)):
        metrics["accuracy"] = float(default)
    known = cast(Status, status if status in STATUSES else "failed")
    return Result(text, digest, known, metrics, reason, int(seed), int(epochs))
