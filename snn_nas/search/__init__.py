"""The search itself: strategies by ask/tell, objectives, Pareto fronts and the trial journal. Free of torch."""

from snn_nas.search.journal import Journal
from snn_nas.search.objective import OBJECTIVES, Objective, objectives
from snn_nas.search.ordered import Ordered
from snn_nas.search.pareto import pareto
from snn_nas.search.registry import STRATEGIES, create
from snn_nas.search.result import Result, Status
from snn_nas.search.strategy import Space, SpaceExhausted, Strategy, trial_seed

__all__ = [
    "OBJECTIVES",
    "STRATEGIES",
    "Journal",
    "Objective",
    "Ordered",
    "Result",
    "Space",
    "SpaceExhausted",
    "Status",
    "Strategy",
    "create",
    "objectives",
    "pareto",
    "trial_seed",
]
