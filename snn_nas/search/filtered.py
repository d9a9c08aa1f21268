"""A space seen through a filter: each draw is the best-scored of several.

A strategy knows nothing of it: where it samples, mutates or crosses it gets, of `pool` draws, the one that a
training-free filter (`snn_nas/filters`) thinks most of. What was asked for before is passed over while there is
anything else. Neighbours are not filtered, for a walk over them is exhaustive: of `local_search`, the starts alone are.
A strategy that screens candidates by a model of its own is refused: it draws a hundred for each proposal, and would
have `pool` times as many built and run before it looks at them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from neurons.errors import UserError
from neurons.settings import Setting, nearest
from snn_nas.genotype import Genotype
from snn_nas.search.strategy import Space, Strategy

Score = Callable[[Genotype], float]
POOL = Setting(8, low=2, help="draws of which the best-scored is proposed")


class Filtered:
    """See above."""

    def __init__(self, space: Space, score: Score, pool: int) -> None:
        self.space, self.score, self.pool = space, score, pool
        self.known: Callable[[], Container[str]] = frozenset

    def serve(self, strategy: Strategy) -> None:
        """Pass over what this strategy has asked for.

        Raises:
            UserError: it screens candidates by a model of its own.
        """
        if strategy.screens:
            raise UserError(
                f"strategy {strategy.name} chooses among candidates by a model of its own: leave out filter, or take "
                "random, local_search, evolution or nsga2"
            )
        self.known = lambda: strategy.asked

    def sample(self, rng: random.Random) -> Genotype:
        """The best of `pool` samples: no longer uniform, that is the point."""
        return self._best([self.space.sample(rng) for _ in range(self.pool)])

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """The best of `pool` mutants."""
        return self._best([self.space.mutate(genotype, rng) for _ in range(self.pool)])

    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        """The best of `pool` children."""
        return self._best([self.space.crossover(mother, father, rng) for _ in range(self.pool)])

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """All of them, unfiltered."""
        return self.space.neighbours(genotype)

    def size(self) -> int:
        """The space's."""
        return self.space.size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.space, name)

    def _best(self, drawn: list[Genotype]) -> Genotype:
        known = self.known()
        return max([each for each in drawn if each.digest not in known] or drawn, key=self.score)


def filtered(given: Any, space: Space, space_given: Any, seed: int) -> Space:
    """The space for a strategy, from a tuner's `filter`: nothing, or `{name: sahd, pool: 8}`.

    Scores are taken on the data that the space names; `root` says where they lie, as it does in a trial's command.

    Raises:
        UserError: there is no such filter or setting, or the space names no data.
    """
    if given is None:
        return space
    from snn_nas.evaluation import EvaluationSettings
    from snn_nas.filters import FILTERS, Scorer

    chosen = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    name, pool, root = str(chosen.pop("name", None)), chosen.pop("pool", POOL.default), chosen.pop("root", None)
    if name not in FILTERS:
        near = nearest(name, FILTERS)
        raise UserError(f"filter is {', '.join(FILTERS)}, or {{name: sahd, pool: 8}}, not {given!r}{near}")
    for key in chosen:
        raise UserError(f"filter has no setting {key!r}{nearest(key, ['name', 'pool', 'root'])}")
    if not isinstance(space_given, Mapping) or "data" not in space_given:
        raise UserError("filter needs a space that names its data, such as {name: chain, data: digits}")
    settings = EvaluationSettings.of({"data": space_given["data"], "root": root})
    return Filtered(space, Scorer(name, settings, seed), int(POOL.check(pool, "filter: pool")))
