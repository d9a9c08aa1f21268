"""Make a search reproducible at any concurrency: results are told in the order of the proposals.

With a lag of D, proposal k is drawn when exactly the results of proposals 1 to k - D have been told, in that order,
whatever finished first in the meantime. So the genotypes of a search depend on its seed and its results, not on timing.

The price is that a slow trial can hold back a proposal: at D = W (the trials that run at once) a slot idles whenever
the oldest running trial is not the first to finish. A larger lag buys the idle time back and costs freshness: each
proposal then ignores up to D - 1 results. D must not be less than W, or the search would never fill its slots.
"""

from __future__ import annotations

from snn_nas.genotype import Genotype
from snn_nas.search.result import Result
from snn_nas.search.strategy import State, Strategy


class Ordered:
    """A strategy behind a buffer: `ask` answers or says "not yet", `tell` takes results in any order."""

    def __init__(self, strategy: Strategy, lag: int = 1) -> None:
        """Wrap a fresh strategy; `lag` is at least the number of trials that run at once."""
        if lag < 1:
            raise ValueError(f"the lag is at least 1, not {lag}")
        self.strategy = strategy
        self.lag = lag
        self.order: list[str] = []
        self.told = 0
        self.waiting: dict[str, Result] = {}

    def ask(self) -> Genotype | None:
        """The next genotype, or None while a result that it depends on is still out.

        Raises:
            SpaceExhausted: the space is used up.
        """
        needed = len(self.order) + 1 - self.lag
        while self.told < needed:
            result = self.waiting.pop(self.order[self.told], None)
            if result is None:
                return None
            self.strategy.tell(result)
            self.told += 1
        genotype = self.strategy.ask()
        self.order.append(genotype.digest)
        return genotype

    def tell(self, result: Result) -> bool:
        """Take a result; false, and no effect, if it is unknown or a second one for its genotype."""
        if result.digest not in self.order[self.told :] or result.digest in self.waiting:
            return False
        self.waiting[result.digest] = result
        return True

    def outstanding(self) -> list[Genotype]:
        """What was proposed and has no result yet, oldest first."""
        return [self.strategy.asked[digest] for digest in self.order[self.told :] if digest not in self.waiting]

    def state_dict(self) -> State:
        """Plain JSON; `asked` of the strategy holds the genotypes in this order already."""
        return {
            "lag": self.lag,
            "order": list(self.order),
            "told": self.told,
            "waiting": [result.to_json() for result in self.waiting.values()],
            "strategy": self.strategy.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken; the lag is the state's."""
        self.strategy.load_state_dict(state["strategy"])
        self.lag, self.order, self.told = state["lag"], list(state["order"]), state["told"]
        self.waiting = {record["digest"]: Result.from_json(record) for record in state["waiting"]}
