"""Strategies by name. A new strategy is one file and one line here."""

from __future__ import annotations

from collections.abc import Sequence

from neurons.errors import UserError
from neurons.settings import Value, nearest
from snn_nas.search.darts_search import DARTS
from snn_nas.search.eg_nas import EGNAS
from snn_nas.search.evolution import Evolution
from snn_nas.search.local_search import LocalSearch
from snn_nas.search.nsga2 import NSGA2
from snn_nas.search.objective import Objective
from snn_nas.search.predictor import Predictor
from snn_nas.search.random_search import RandomSearch
from snn_nas.search.strategy import Space, Strategy

STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (RandomSearch, LocalSearch, Evolution, NSGA2, Predictor, DARTS, EGNAS)
}


def create(name: str, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> Strategy:
    """Build a strategy.

    Raises:
        UserError: the name or a setting is unknown, or a setting is out of its range.
    """
    if name not in STRATEGIES:
        raise UserError(f"there is no strategy {name!r}{nearest(name, STRATEGIES)}")
    return STRATEGIES[name](space, objectives, seed, **given)
