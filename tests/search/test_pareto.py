from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_nas.search import OBJECTIVES, Result, objectives, pareto
from snn_nas.search.pareto import dominates, front, ranks

NAN = math.nan

#   second gain
#   3 | .  c  .        a and d are equal: neither dominates the other
#   2 | b  .  a,d      e is below a, d and c; b is below c; g is below everything
#   1 | .  e  .        f is the best in the first gain
#   0 | g  .  .  f
#     +-------------
#       0  1  2  3  first gain
A, B, C, D, E, F, G = (2, 2), (0, 2), (1, 3), (2, 2), (1, 1), (3, 0), (0, 0)


def test_the_drawing() -> None:
    assert dominates(A, E)
    assert dominates(C, B)
    assert not dominates(A, D)
    assert not dominates(E, A)
    assert not dominates(A, F)
    assert not dominates(F, A)
    assert front([A, B, C, D, E, F, G]) == [0, 2, 3, 5]
    assert ranks([A, B, C, D, E, F, G]) == [0, 1, 0, 0, 1, 0, 2]


def test_nan_is_never_in_the_front_and_comes_last() -> None:
    rows = [(NAN, 9.0), (1.0, 1.0), (2.0, 2.0), (9.0, NAN)]
    assert front(rows) == [2]
    assert ranks(rows) == [2, 1, 0, 2]
    assert ranks([(NAN,)]) == [0]
    assert ranks([]) == []


cells = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf, -math.inf, NAN])


@given(st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[cells] * width), max_size=12)))
def test_against_brute_force(rows: list[tuple[float, ...]]) -> None:
    def beaten(row: tuple[float, ...], others: list[tuple[float, ...]]) -> bool:
        return any(all(o >= r for o, r in zip(other, row, strict=True)) and other != row for other in others)

    whole = [row for row in rows if not any(math.isnan(cell) for cell in row)]
    assert [rows[i] for i in front(rows)] == [row for row in whole if not beaten(row, whole)]
    given_ranks = ranks(rows)
    for level in range(max(given_ranks, default=-1) + 1):
        rest = [row for row, rank in zip(rows, given_ranks, strict=True) if rank >= level]
        left = [row for row in rest if not any(math.isnan(cell) for cell in row)]
        members = [row for row, rank in zip(rows, given_ranks, strict=True) if rank == level]
        assert members == ([row for row in left if not beaten(row, left)] or rest)


def result(name: str, status: str = "ok", **metrics: float) -> Result:
    return Result(name, name, status, metrics)  # type: ignore[arg-type]


def test_directions_and_order() -> None:
    results = [
        result("cheap", accuracy=0.8, energy_uJ=1.0),
        result("good", accuracy=0.9, energy_uJ=5.0),
        result("poor", accuracy=0.7, energy_uJ=2.0),
        result("dead", "dead", accuracy=0.99, energy_uJ=0.1),
        result("unmeasured", accuracy=0.99),
    ]
    found = pareto(results, objectives(["accuracy", "energy_uJ"]))
    assert [member.genotype for member in found] == ["good", "cheap"]


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_better_is_a_higher_gain(name: str) -> None:
    objective = OBJECTIVES[name]
    low, high = objective.gain(result("a", **{name: 1.0})), objective.gain(result("b", **{name: 2.0}))
    assert (high > low) == (objective.direction == "max")
    assert math.isnan(objective.gain(result("c")))
    assert math.isnan(objective.gain(result("d", "failed", **{name: 1.0})))
