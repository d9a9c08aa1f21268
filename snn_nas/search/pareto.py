"""Pareto dominance over rows of gains (more is better in every column).

A row dominates another if it is nowhere worse and somewhere better. Equal rows do not dominate each other: duplicates
are all kept. NaN means "not measured": a row that holds one is never in the front, dominates nothing, and comes last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from snn_nas.search.objective import Objective
from snn_nas.search.result import Result

Row = Sequence[float]


def dominates(one: Row, other: Row) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better; false if either holds a NaN."""
    if any(map(math.isnan, one)) or any(map(math.isnan, other)):
        return False
    return all(a >= b for a, b in zip(one, other, strict=True)) and any(a > b for a, b in zip(one, other, strict=True))


def ranks(rows: Sequence[Row]) -> list[int]:
    """The front that each row lies in: 0 for the non-dominated, 1 for those that only front 0 dominates, and so on.

    Peels fronts in O(fronts * n**2): a search has hundreds of rows, not millions. Rows with a NaN get the last rank.
    """
    rank = [-1] * len(rows)
    left = [i for i, row in enumerate(rows) if not any(map(math.isnan, row))]
    level = 0
    while left:
        front = [i for i in left if not any(dominates(rows[j], rows[i]) for j in left)]
        for i in front:
            rank[i] = level
        left = [i for i in left if rank[i] < 0]
        level += 1
    return [level if r < 0 else r for r in rank]


def crowding(rows: Sequence[Row]) -> list[float]:
    """How lonely each row of one front is (Deb et al., 2002): the sum over columns of the gap between its neighbours.

    Gaps are in parts of the column's range; a row at either end of a column is infinitely lonely.
    """
    distance = [0.0] * len(rows)
    for column in range(len(rows[0]) if rows else 0):
        order = sorted(range(len(rows)), key=lambda i: rows[i][column])
        low, high = rows[order[0]][column], rows[order[-1]][column]
        distance[order[0]] = distance[order[-1]] = math.inf
        if 0 < high - low < math.inf:
            for before, i, after in zip(order, order[1:], order[2:], strict=False):
                distance[i] += (rows[after][column] - rows[before][column]) / (high - low)
    return distance


def front(rows: Sequence[Row]) -> list[int]:
    """The indices of the non-dominated rows, in their order."""
    complete = [i for i, row in enumerate(rows) if not any(map(math.isnan, row))]
    return [i for i in complete if not any(dominates(rows[j], rows[i]) for j in complete)]


def pareto(results: Sequence[Result], objectives: Sequence[Objective]) -> list[Result]:
    """The non-dominated results, best in the first objective first."""
    rows = [[objective.gain(result) for objective in objectives] for result in results]
    return [results[i] for i in sorted(front(rows), key=lambda i: (-rows[i][0], i))]
