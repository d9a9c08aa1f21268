"""An energy: by layer and by cause, never without the name of its profile."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from neurons.errors import UserError
from snn_nas.energy.profile import Profile

CAUSES = ("operations", "memory", "leak", "addressing", "communication")
"""Arithmetic along synapses, biases, resets; buffers read and written; neuron updates; finding weights; spikes sent."""


@dataclass(frozen=True)
class Energy:
    """What an inference, or learning from one sample, costs on a profile.

    Attributes:
        profile, kind: the profile's name, and whether its figures were measured, derived or assumed.
        what: `inference` or `learning`.
        pJ: energy in picojoules by layer, then by cause (`CAUSES`).
        missing: what the profile has no figure for, and is therefore not in the sum.
    """

    profile: str
    kind: str
    what: Literal["inference", "learning", "twin"]
    pJ: Mapping[str, Mapping[str, float]]  # noqa: N815
    missing: tuple[str, ...] = ()

    @property
    def total_uJ(self) -> float:  # noqa: N802
        """The sum, in microjoules."""
        return math.fsum(value for causes in self.pJ.values() for value in causes.values()) * 1e-6

    @property
    def by_layer(self) -> dict[str, float]:
        """Microjoules of each layer."""
        return {name: math.fsum(causes.values()) * 1e-6 for name, causes in self.pJ.items()}

    @property
    def by_cause(self) -> dict[str, float]:
        """Microjoules of each cause."""
        return {cause: math.fsum(layer.get(cause, 0.0) for layer in self.pJ.values()) * 1e-6 for cause in CAUSES}

    def rows(self) -> list[dict[str, str | float]]:
        """A table, one row a layer, in microjoules; each row names its profile."""
        return [
            {"profile": self.profile, "layer": name}
            | {f"{cause}_uJ": causes.get(cause, 0.0) * 1e-6 for cause in CAUSES}
            | {"total_uJ": math.fsum(causes.values()) * 1e-6}
            for name, causes in self.pJ.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "profile": self.profile,
            "kind": self.kind,
            "what": self.what,
            "total_uJ": self.total_uJ,
            "pJ": {name: dict(causes) for name, causes in self.pJ.items()},
            "missing": list(self.missing),
        }

    def __str__(self) -> str:
        without = f", without {', '.join(self.missing)}" if self.missing else ""
        each = "sample learned" if self.what == "learning" else "inference"
        return f"{self.total_uJ:.4g} µJ per {each} ({self.profile}{without})"


def priced(profile: Profile) -> Profile:
    """The profile, if it can price an operation.

    Raises:
        UserError: it holds no figure for one.
    """
    if not profile.known:
        raise UserError(f"profile {profile.name!r} has no figure for a synaptic operation: {profile.source}")
    return profile


@dataclass(frozen=True, slots=True)
class Prices:
    """A profile's prices in pJ, chips and arithmetic alike: what one of each operation costs."""

    mac: float
    ac: float
    add: float
    """An addition that is no synaptic operation; a chip's figures include it."""
    mult: float

    @classmethod
    def of(cls, profile: Profile) -> Prices:
        """Prices of a profile that was checked by `priced`.

        A chip's MAC is priced like its synaptic operation: a graded event there is one event with a payload.
        """
        priced(profile)
        if profile.e_synop is not None:
            return cls(profile.e_synop, profile.e_synop, 0.0, 0.0)
        assert profile.e_mac is not None
        assert profile.e_ac is not None
        return cls(profile.e_mac, profile.e_ac, profile.e_ac, profile.e_mac - profile.e_ac)
