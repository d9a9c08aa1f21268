"""What one trial came to: always typed, always with the genotype that made it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from neurons.errors import UserError

Status = Literal["ok", "dead", "diverged", "stopped", "failed"]
"""`dead`: no spike reaches the output. `diverged`: NaN or an exploding loss. `stopped`: it learned, but fell behind
(`search/early_stop.py`); its metrics are those of the epoch in which it ended. `failed`: it crashed or was ended."""

STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True)
class Result:
    """One genotype evaluated under one budget.

    `metrics` holds finite numbers only: what could not be measured is absent, never NaN, so that JSON can carry it.
    `curve` is the accuracy after each epoch; one that is no number counts as 0. `parent` is the digest of the network
    whose weights it started from (`search/heritage.py`); the result is a function of that network too.
    """

    genotype: str
    digest: str
    status: Status = "ok"
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    seed: int = 0
    epochs: int = 0
    curve: tuple[float, ...] = ()
    parent: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise UserError(f"a result's status is one of {', '.join(STATUSES)}, not {self.status!r}")
        finite = {name: float(value) for name, value in self.metrics.items() if math.isfinite(value)}
        object.__setattr__(self, "metrics", MappingProxyType(finite))
        curve = tuple(float(value) if math.isfinite(value) else 0.0 for value in self.curve)
        object.__setattr__(self, "curve", curve)

    @property
    def ok(self) -> bool:
        """Whether the metrics are those of a network that works."""
        return self.status == "ok"

    @property
    def reached(self) -> tuple[int, float] | None:
        """Of a trial that was stopped: the epochs that it lasted and its best accuracy; None for every other.

        By these, `nsga2` and the predictor put it above every trial that came to nothing, and below every one that ran
        to its end, whose metrics are not to be compared with those of a shorter training. Others learn nothing from it.
        """
        if self.status != "stopped":
            return None
        return self.epochs, max(self.curve, default=self.metrics.get("accuracy", 0.0))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` gives an equal result."""
        return {
            "genotype": self.genotype,
            "digest": self.digest,
            "status": self.status,
            "metrics": dict(self.metrics),
            "reason": self.reason,
            "seed": self.seed,
            "epochs": self.epochs,
            "curve": list(self.curve),
            "parent": self.parent,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Result:
        """Read what `to_json` wrote; journals of older versions have no curve and no parent.

        Raises:
            UserError: a key is missing or unknown, or a value is of another type.
        """
        record = {"curve": [], "parent": "", **record}
        known = set(cls.__dataclass_fields__)
        if odd := set(record) ^ known:
            raise UserError(f"a result has exactly the keys {', '.join(sorted(known))}; see {', '.join(sorted(odd))}")
        try:
            return cls(**record)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"a result's values are of other types: {error}") from error
