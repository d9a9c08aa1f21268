"""CMA-ES over architecture weights, as in EG-NAS (Cai et al., AAAI 2024). Free of torch: what scores is an argument.

A vector x holds architecture weights for every choice of every key of a plan, and stands for the network of the
largest ones. A generation is drawn from N(mean, sigma^2 C), its networks are scored on shared weights, and CMA-ES
(Hansen, arXiv 1604.00772) moves mean, sigma and C. EG-NAS's composite fitness, which is minimised, is

    loss(x) + diversity * s(x)   where x is at least as accurate as the mean,   loss(x) - diversity * s(x)   elsewhere,

s the cosine similarity of x and the mean, taken key by key and scaled to [0, 1]: who is good shall be different, who
is not shall stay near. Three things differ from the published code. It scores the softmax mixture of x, we the network
that x stands for, which is what the search is after, and which takes networks of any shape. It starts CMA-ES anew in
every epoch, for one generation, so that C stays the identity; here one CMA-ES runs through the whole search. And so
`diversity`, there 0.4, is 0 unless asked for: whatever is good is driven away from the mean, again in each generation,
which can keep CMA-ES from a peak that it finds without.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cmaes import CMA

from neurons.settings import Value
from snn_nas.genotype import Genotype
from snn_nas.search.preferences import CodedSpace, choices

Vector = np.ndarray[Any, np.dtype[np.float64]]
DRAWS = 1000
"""Plans that are drawn in the end to see how often each choice is the largest."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a network on shared weights came to."""

    loss: float
    accuracy: float


Scorer = Callable[[Sequence[Genotype]], Sequence[Score]]


class Evolution:
    """A distribution over architecture weights.

    Args:
        space: what the weights stand for.
        seed: of all draws.
        sigma: spread of the first generation around 0, where all choices are equal.
        population: vectors a generation; 0 is CMA-ES's own choice, 4 + 3 ln(dimensions).
        diversity: see the module.
    """

    def __init__(
        self, space: CodedSpace, seed: int, *, sigma: float = 1.0, population: int = 30, diversity: float = 0.0
    ) -> None:
        self.space, self.diversity = space, diversity
        self.choices = choices(space)
        self.slices: dict[str, slice] = {}
        size = 0
        for key, values in self.choices.items():
            if len(values) > 1:
                self.slices[key] = slice(size, size + len(values))
                size += len(values)
        chosen = max(population, 5) if population else None  # with fewer, CMA-ES has no weights to recombine with
        self.cma = CMA(mean=np.zeros(max(size, 2)), sigma=sigma, seed=seed % 2**32, population_size=chosen)

    def draw(self) -> Genotype:
        """A network of the present distribution."""
        return self.network(self.cma.ask())

    def network(self, x: Vector) -> Genotype:
        """What a vector stands for."""
        return self.space.decode(self._plan(x))

    def generation(self, scorer: Scorer) -> float:
        """Draw, score and learn from one generation; the best loss of it."""
        drawn = [self.cma.ask() for _ in range(self.cma.population_size)]
        networks = [self.network(self.cma.mean), *map(self.network, drawn)]
        once = {network.digest: network for network in networks}
        known = dict(zip(once, scorer(list(once.values())), strict=True))
        mean, *scores = (known[network.digest] for network in networks)
        self.cma.tell([(x, self._fitness(x, score, mean)) for x, score in zip(drawn, scores, strict=True)])
        return min(score.loss for score in scores)

    @property
    def settled(self) -> bool:
        """Whether another generation would change nothing."""
        return bool(self.cma.should_stop())

    def logits(self) -> dict[str, list[float]]:
        """How often each choice is the largest of its key, as logarithms; what never is counts half a time."""
        counts = {key: dict.fromkeys(values, 0.5) for key, values in self.choices.items()}
        for _ in range(DRAWS):
            for key, value in self._plan(self.cma.ask()).items():
                counts[key][value] += 1.0
        return {key: [math.log(n / sum(each.values())) for n in each.values()] for key, each in counts.items()}

    def _plan(self, x: Vector) -> dict[str, Value]:
        best = {key: int(x[where].argmax()) for key, where in self.slices.items()}
        return {key: values[best.get(key, 0)] for key, values in self.choices.items()}

    def _fitness(self, x: Vector, score: Score, mean: Score) -> float:
        loss = score.loss if math.isfinite(score.loss) else 1e9
        pull = self.diversity * self._similarity(x)
        return loss + (pull if score.accuracy >= mean.accuracy else -pull)

    def _similarity(self, x: Vector) -> float:
        found = [_cosine(x[where], self.cma.mean[where]) for where in self.slices.values()]
        return (1.0 + sum(found) / max(len(found), 1)) / 2.0


def _cosine(a: Vector, b: Vector) -> float:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0
