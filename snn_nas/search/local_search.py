"""Local search: climb from neighbour to better neighbour, then start anew (White et al., 2020, arXiv 2005.02960).

The first neighbour that is better is the next centre, without looking at the others. When no neighbour is left to try,
a random genotype starts the next climb.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from neurons.settings import Value
from snn_nas.genotype import Genotype, parse
from snn_nas.search.objective import Objective
from snn_nas.search.pareto import dominates
from snn_nas.search.result import Result
from snn_nas.search.strategy import Space, State, Strategy


class LocalSearch(Strategy):
    """Hill climbing with restarts; with several objectives, better is to dominate (Paquete et al., 2004).

    Results of an earlier climb, which come late where many trials run at once, do not move the present one.
    """

    name = "local_search"
    paper = "White et al. 2020, arXiv 2005.02960"

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> None:
        super().__init__(space, objectives, seed, **given)
        self.climb = 0
        self.climbs: dict[str, int] = {}  # of what is out: the climb that it belongs to
        self.centre: list[float] | None = None  # its gains; None while no start has a result
        self.queue: list[Genotype] = []
        self.top = ""  # the digest of whose neighbours they are

    def propose(self) -> Genotype:
        """The next neighbour, or a new start."""
        while self.queue:
            genotype = self.queue.pop()
            if genotype.digest not in self.asked:
                return self._child(genotype, self.top)
        if self.centre is not None:
            self.climb, self.centre = self.climb + 1, None
        return self.space.sample(self.rng)

    def ask(self) -> Genotype:
        """See `Strategy.ask`."""
        genotype = super().ask()
        self.climbs[genotype.digest] = self.climb
        return genotype

    def learn(self, result: Result) -> None:
        """Move to a better result."""
        gains = self._gains(result)
        ours = self.climbs.pop(result.digest, -1) == self.climb
        if ours and not any(map(math.isnan, gains)) and (self.centre is None or dominates(gains, self.centre)):
            self.centre, self.top = gains, result.digest
            self.queue = list(self.space.neighbours(self.asked[result.digest]))
            self.rng.shuffle(self.queue)

    def state_dict(self) -> State:
        """The base's state, the centre and the neighbours that are still to be tried."""
        return {
            **super().state_dict(),
            "climb": self.climb,
            "climbs": dict(self.climbs),
            "centre": self.centre,
            "queue": [str(genotype) for genotype in self.queue],
            "top": self.top,
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken."""
        super().load_state_dict(state)
        self.climb, self.climbs, self.centre = state["climb"], dict(state["climbs"]), state["centre"]
        self.queue = [parse(text) for text in state["queue"]]
        self.top = state["top"]
