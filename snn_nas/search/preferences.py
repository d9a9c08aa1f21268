"""What a trained supernet prefers: a probability for every choice of a plan, free of torch.

Architecture weights belong to the keys of a space's plan (`layer2.op`, `1>3.rule`, `normal.2.1.op`), one for each
choice, and a plan is drawn key by key. How much a network is preferred is

    sum over the keys that have an effect of  log p(its choice) - log p(the best choice),

0 for the network of all best choices, and below 0 for every other. Measured from the best choice, because a deeper
network has more keys, each of which would else count against it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from neurons.settings import Value
from snn_nas.genotype import Genotype

Choices = Mapping[str, tuple[Value, ...]]
"""Every key of a plan, and what it may hold."""
Logits = Mapping[str, tuple[float, ...]]
"""Architecture weights: for every key one for each choice."""


class CodedSpace(Protocol):
    """A space whose genotypes are plans."""

    def encode(self, genotype: Genotype) -> dict[str, Value]: ...  # noqa: D102
    def decode(self, parameters: Mapping[str, Any]) -> Genotype: ...  # noqa: D102
    def search_space(self) -> dict[str, dict[str, Any]]: ...  # noqa: D102


def choices(space: CodedSpace) -> dict[str, tuple[Value, ...]]:
    """The keys of a space's plans and their choices."""
    return {key: tuple(entry["_value"]) for key, entry in space.search_space().items()}


def assigns_rule(key: str) -> bool:
    """Whether a key of a plan says how weights learn, and so changes nothing of what the network can compute."""
    return key == "readout" or key.endswith("rule")


@dataclass(frozen=True)
class Preferences:
    """The distribution over a space's plans that architecture weights are the logits of."""

    space: CodedSpace
    logits: Logits

    @cached_property
    def choices(self) -> dict[str, tuple[Value, ...]]:
        """See `choices`."""
        return choices(self.space)

    @cached_property
    def logs(self) -> dict[str, dict[Value, float]]:
        """log p - log p(best), for every choice of every key."""
        return {
            key: {value: logit - max(self.logits[key]) for value, logit in zip(values, self.logits[key], strict=True)}
            for key, values in self.choices.items()
        }

    def best(self) -> Genotype:
        """The network of the best choices, repaired where they make no valid one together."""
        return self.space.decode({key: max(logs, key=lambda v: logs[v]) for key, logs in self.logs.items()})

    def draw(self, rng: random.Random) -> Genotype:
        """A network drawn choice by choice, repaired."""
        plan: dict[str, Value] = {}
        for key, logs in self.logs.items():
            plan[key] = rng.choices(list(logs), [math.exp(log) for log in logs.values()])[0]
        return self.space.decode(plan)

    def of(self, genotype: Genotype, counts: Callable[[str], bool] = lambda key: True) -> float:
        """How much a network is preferred: 0 or below; `counts` says which keys are looked at.

        Of cells that are isomorphic it is asked of the one that stands for them all, whichever of them was drawn.
        """
        plan = self.space.encode(genotype)
        active: Collection[str] = getattr(self.space, "active", lambda plan: plan)(plan)
        return math.fsum(self.logs[key][plan[key]] for key in active if counts(key))
