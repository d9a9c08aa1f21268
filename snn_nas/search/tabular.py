"""A tabular benchmark: results that were measured once, so that searches can be compared in seconds.

A table maps genotypes to metrics. It is an evaluator like training is, except that it looks its answer up; the test
metrics are kept apart, for whoever compares strategies, and never reach one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neurons.errors import UserError
from snn_nas.genotype import Genotype
from snn_nas.search.result import Result
from snn_nas.search.strategy import Strategy

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """Metrics by genotype digest: `validation` to search by, `test` to compare by."""

    name: str
    validation: Mapping[str, Metrics]
    test: Mapping[str, Metrics] = field(default_factory=dict)

    def evaluate(self, genotype: Genotype) -> Result:
        """The result of a genotype, as a trial would give it.

        Raises:
            UserError: the table does not hold it.
        """
        if genotype.digest not in self.validation:
            raise UserError(f"the table {self.name} does not hold {genotype}")
        return Result(str(genotype), genotype.digest, "ok", self.validation[genotype.digest])


def trace(strategy: Strategy, table: Table, trials: int, metric: str = "accuracy") -> list[float]:
    """Run a search on a table; after each trial, the test metric of the genotype that validates best so far."""
    best, chosen, found = float("-inf"), float("nan"), []
    for _ in range(trials):
        result = table.evaluate(strategy.ask())
        strategy.tell(result)
        if result.metrics[metric] > best:
            best, chosen = result.metrics[metric], table.test[result.digest][metric]
        found.append(chosen)
    return found
