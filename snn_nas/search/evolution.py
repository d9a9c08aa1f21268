"""Regularised evolution: the oldest dies, not the worst (Real et al., 2019, arXiv 1802.01548, algorithm 1)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import ClassVar

from neurons.settings import Setting, Value
from snn_nas.genotype import Genotype
from snn_nas.search.objective import Objective
from snn_nas.search.pareto import front
from snn_nas.search.result import Result
from snn_nas.search.strategy import Space, State, Strategy


class Evolution(Strategy):
    """The first `population` genotypes are random; then each is a mutation of the best of `sample` random members.

    With one objective, best is the highest. With several, the parent is drawn from the sample's Pareto front: to take
    the front's best in the first objective would be to optimise that one alone. Trials that did not end well do not
    enter the population, so it is never led by a network that does not spike.
    """

    name = "evolution"
    paper = "Real et al. 2019, arXiv 1802.01548"
    settings: ClassVar[Mapping[str, Setting]] = {
        "population": Setting(20, low=2, help="members alive at once"),
        "sample": Setting(5, low=1, help="members that compete to be the parent"),
        "crossover": Setting(0.0, low=0.0, high=1.0, help="how often a child gets a second parent before it mutates"),
    }

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> None:
        super().__init__(space, objectives, seed, **given)
        self.population: deque[Result] = deque(maxlen=int(self.given["population"]))

    def propose(self) -> Genotype:
        """Mutate the winner of a tournament."""
        if len(self.asked) < int(self.given["population"]) or not self.population:
            return self.space.sample(self.rng)
        child = parent = self._winner()
        if self.rng.random() < float(self.given["crossover"]):
            child = self.space.crossover(parent, self._winner(), self.rng)
        return self._child(self.space.mutate(child, self.rng), parent.digest)

    def learn(self, result: Result) -> None:
        """Let a member in at the right; the deque drops the oldest at the left."""
        if not any(map(math.isnan, self._gains(result))):
            self.population.append(result)

    def state_dict(self) -> State:
        """The base's state and the population, oldest first."""
        return {**super().state_dict(), "population": [member.to_json() for member in self.population]}

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken."""
        super().load_state_dict(state)
        self.population.clear()
        self.population.extend(Result.from_json(member) for member in state["population"])

    def _winner(self) -> Genotype:
        sample = [self.rng.choice(self.population) for _ in range(int(self.given["sample"]))]
        rows = [self._gains(member) for member in sample]
        return self.asked[sample[self.rng.choice(front(rows))].digest]
