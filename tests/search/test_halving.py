"""Successive halving against ASHA's definition, spelled out, and against a search that is run by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas.search.early_stop import early_stop
from snn_nas.search.halving import Halving
from tests.search.stopping import stopped_after

Curve = tuple[float, ...]
accuracies = st.integers(0, 10).map(lambda tenths: tenths / 10)  # few values: ties are common
curves = st.lists(st.lists(accuracies, min_size=1, max_size=10).map(tuple), max_size=14)


def by_definition(curve: Curve, earlier: list[Curve], eta: int, first: int) -> int | None:
    """At each rung, put the trial among all that came there; it goes on if fewer than a 1/eta of them are better."""
    last = max(map(len, earlier), default=0)
    for epoch in range(1, len(curve) + 1):
        is_rung = any(epoch == first * eta**r for r in range(10))
        there = [max(other[:epoch]) for other in earlier if len(other) >= epoch]
        promoted = (len(there) + 1) // eta  # of all, itself included
        better = sum(value > max(curve[:epoch]) for value in there)
        if is_rung and epoch < last and promoted and better >= promoted:
            return epoch
    return None


@given(curves, st.lists(accuracies, min_size=1, max_size=10).map(tuple), st.integers(2, 4), st.integers(1, 3))
def test_it_is_the_published_rule(earlier: list[Curve], curve: Curve, eta: int, first: int) -> None:
    bars = Halving({"eta": eta, "first": first}).bars(earlier)
    assert stopped_after(curve, bars) == by_definition(curve, earlier, eta, first)


def test_by_hand() -> None:
    earlier = [(0.5,) * 9, (0.4, 0.4, 0.4), (0.3,), (0.6,) * 9, (0.2,)]
    assert Halving({}).bars(earlier) == [0.5, 0.0, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0]  # 2nd of 5 + 1, 1st of 3 + 1
    assert Halving({"first": 2}).bars(earlier) == [0.0, 0.6, 0.0, 0.0, 0.0, 0.6, 0.0, 0.0]  # the 1st of 3 + 1, of 2 + 1
    assert Halving({"eta": 4}).bars(earlier[:2]) == [0.0] * 8
    assert Halving({}).bars([]) == []


def test_most_trials_end_at_the_first_rung_and_the_best_ones_are_among_those_that_stay() -> None:
    rng, rule = random.Random(0), Halving({})
    seen: list[tuple[float, int]] = []
    told: list[Curve] = []
    for _ in range(300):
        final = rng.random()
        curve = tuple(final * epoch / 9 for epoch in range(1, 10))  # ranks never change
        end = stopped_after(curve, rule.bars(told)) or 9
        told.append(curve[:end])
        seen.append((final, end))
    ends = [end for _, end in seen]
    assert {1, 3, 9} >= set(ends)
    assert 0.25 < sum(end > 1 for end in ends) / 300 < 0.5  # more than a third: early ones have few to beat
    assert sum(end > 3 for end in ends) < 0.6 * sum(end > 1 for end in ends)
    assert all(end == 9 for _, end in sorted(seen)[-10:])
    assert sum(ends) < 0.4 * 9 * 300


def test_settings() -> None:
    rule = early_stop({"name": "halving", "eta": 4, "first": 2})
    assert isinstance(rule, Halving)
    assert (rule.eta, rule.first) == (4, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("halfing", "did you mean 'halving'"),
        ({"name": "halving", "eta": 1}, "at least 2"),
        ({"name": "halving", "trials": 3}, "no setting 'trials'"),
    ],
)
def test_wrong_settings_are_one_line(wrong: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        early_stop(wrong)
