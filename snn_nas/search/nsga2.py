"""NSGA-II: evolve a whole front at once (Deb et al., 2002, doi 10.1109/4235.996017)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from neurons.settings import Setting, Value
from snn_nas.genotype import Genotype
from snn_nas.search.objective import Objective
from snn_nas.search.pareto import Row, crowding, ranks
from snn_nas.search.result import Result
from snn_nas.search.strategy import Space, State, Strategy


class NSGA2(Strategy):
    """Generations of `population` children; parents and children together compete for survival.

    Who lies in a better front survives; within a front, who is lonelier, so that the front stays wide. Parents win
    tournaments of two by the same order. A generation is complete when that many results came, in whatever order, so
    trials may run at once. Trials that were stopped count as children, so that generations go on where most are, and
    survive only in places that nothing finished takes (`Result.reached`); dead and failed ones do neither.
    """

    name = "nsga2"
    paper = "Deb et al. 2002, doi 10.1109/4235.996017"
    settings: ClassVar[Mapping[str, Setting]] = {
        "population": Setting(20, low=2, help="survivors of a generation, and its children"),
        "crossover": Setting(0.9, low=0.0, high=1.0, help="how often a child has two parents"),
        "mutation": Setting(0.5, low=0.0, high=1.0, help="how often a child of two parents mutates as well"),
    }

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> None:
        super().__init__(space, objectives, seed, **given)
        self.population: list[Result] = []  # best first
        self.children: list[Result] = []

    def propose(self) -> Genotype:
        """A child of tournament winners."""
        if not self.population:
            return self.space.sample(self.rng)
        child = mother = self._winner()
        if self.rng.random() < float(self.given["crossover"]):
            child = self.space.crossover(mother, self._winner(), self.rng)
            if self.rng.random() >= float(self.given["mutation"]) and child.digest not in self.asked:
                return self._child(child, mother.digest)
        return self._child(self.space.mutate(child, self.rng), mother.digest)

    def learn(self, result: Result) -> None:
        """Collect a child; when the generation is complete, select."""
        if result.reached is None and any(map(math.isnan, self._gains(result))):
            return
        self.children.append(result)
        size = int(self.given["population"])
        if len(self.children) >= size:
            everyone = self.population + self.children
            finished = [member for member in everyone if member.reached is None]
            order = by_merit([self._gains(member) for member in finished])
            stopped = sorted((m for m in everyone if m.reached is not None), key=_reached, reverse=True)
            self.population, self.children = [*(finished[i] for i in order), *stopped][:size], []

    def state_dict(self) -> State:
        """The base's state, the population, best first, and the children so far."""
        return {
            **super().state_dict(),
            "population": [member.to_json() for member in self.population],
            "children": [member.to_json() for member in self.children],
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken."""
        super().load_state_dict(state)
        self.population = [Result.from_json(member) for member in state["population"]]
        self.children = [Result.from_json(member) for member in state["children"]]

    def _winner(self) -> Genotype:
        """The better of two; the population is sorted."""
        index = min(self.rng.randrange(len(self.population)) for _ in range(2))
        return self.asked[self.population[index].digest]


def _reached(result: Result) -> tuple[int, float]:
    return result.reached or (0, 0.0)


def by_merit(rows: Sequence[Row]) -> list[int]:
    """Indices by front, then by crowding distance, lonely ones first; ties stay in their order."""
    rank = ranks(rows)
    merit: list[tuple[float, float]] = [(0.0, 0.0)] * len(rows)
    for level in set(rank):
        members = [i for i in range(len(rows)) if rank[i] == level]
        for i, distance in zip(members, crowding([rows[i] for i in members]), strict=True):
            merit[i] = (level, -distance)
    return sorted(range(len(rows)), key=merit.__getitem__)
