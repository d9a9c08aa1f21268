"""Objectives: what a trial's numbers mean, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from neurons.errors import UserError
from neurons.settings import nearest
from snn_nas.search.result import Result


@dataclass(frozen=True, slots=True)
class Objective:
    """A named measurement with a direction."""

    name: str
    direction: Literal["max", "min"]

    def gain(self, result: Result) -> float:
        """The result's value, turned so that more is better; NaN where the trial failed or did not measure it."""
        value = result.metrics.get(self.name, math.nan) if result.ok else math.nan
        return value if self.direction == "max" else -value


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("accuracy", "max"),  # share of the validation images that are classified rightly
        Objective("energy_uJ", "min"),  # of one inference, on the profile that was named
        Objective("learning_energy_uJ", "min"),  # of learning from one image, on the same profile
        Objective("synops", "min"),  # synaptic operations of one inference
        Objective("parameters", "min"),  # trainable and frozen weights
        Objective("T", "min"),  # time steps of one input
        Objective("latency_steps", "min"),  # time steps to the answer, a layer each: T + depth - 1
        Objective("latency_us", "min"),  # the time that they take on the profile, if it says how long
        Objective("locality", "max"),  # share of the weights that learn without a transported error
        Objective("robustness", "max"),  # accuracy under the attack that `robustness` names
    )
}
"""Everything that a search may optimise, by name. The first objective of a search is the one that it must get right."""


def objectives(names: Iterable[str]) -> tuple[Objective, ...]:
    """Look objectives up by name.

    Raises:
        UserError: a name is unknown or named twice, or there is none.
    """
    names = list(names)
    for name in names:
        if name not in OBJECTIVES:
            raise UserError(f"there is no objective {name!r}{nearest(name, OBJECTIVES)}")
    if not names or len(set(names)) < len(names):
        raise UserError(f"name one or more different objectives, not {names}")
    return tuple(OBJECTIVES[name] for name in names)
