"""The median rule against Vizier's definition, spelled out."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas.search.early_stop import Hopeless, check, early_stop
from snn_nas.search.median import MedianStop
from tests.search.stopping import stopped_after

curves = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6).map(tuple), max_size=12)


def by_definition(curve: tuple[float, ...], earlier: list[tuple[float, ...]], first: int, trials: int) -> int | None:
    """Golovin et al.: the best by step s strictly worse than the median of the others' running averages at s."""
    last = max(map(len, earlier), default=0)
    for step in range(1, len(curve) + 1):
        others = [sum(other[:step]) / step for other in earlier if len(other) >= step]
        if first <= step < last and len(others) >= trials and max(curve[:step]) < median(others) - 1e-12:
            return step
    return None


@given(curves, st.lists(st.floats(0, 1), min_size=1, max_size=6).map(tuple), st.integers(1, 3), st.integers(1, 4))
def test_it_is_the_published_rule(
    earlier: list[tuple[float, ...]], curve: tuple[float, ...], epoch: int, trials: int
) -> None:
    bars = MedianStop({"epoch": epoch, "trials": trials}).bars(earlier)
    found, expected = stopped_after(curve, bars), by_definition(curve, earlier, epoch, trials)
    near = any(abs(max(curve[: i + 1]) - bar) < 1e-12 for i, bar in enumerate(bars[: len(curve)]))
    assert found == expected or near


def test_by_hand() -> None:
    bars = MedianStop({"trials": 3}).bars([(0.1, 0.3, 0.5), (0.2, 0.4, 0.6), (0.4, 0.8), (0.0,)])
    assert bars == pytest.approx([0.15, 0.3])  # medians of .1 .2 .4 .0 and of .2 .3 .6
    assert stopped_after((0.16, 0.2, 0.9), bars) == 2
    with pytest.raises(Hopeless, match=r"best accuracy 0\.200 after epoch 2 is below 0\.300, the bar"):
        check((0.16, 0.2), bars)
    assert stopped_after((0.5, 0.0, 0.0), bars) is None, "the best so far counts, not the last"


def test_nobody_is_stopped_without_enough_to_compare_with() -> None:
    few = [(0.9, 0.9, 0.9)] * 4
    assert MedianStop({}).bars([]) == []
    assert MedianStop({}).bars(few) == [0.0, 0.0]
    assert MedianStop({}).bars([*few, (0.9,)]) == [0.9, 0.0]
    assert MedianStop({"epoch": 2}).bars(few * 2) == [0.0, 0.9]


def test_settings() -> None:
    assert early_stop(None) is None
    for given_ in ("median", {"name": "median"}):
        rule = early_stop(given_)
        assert isinstance(rule, MedianStop)
        assert (rule.epoch, rule.trials) == (1, 5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("meduan", "did you mean 'median'"),
        ({"trials": 3}, "early_stop is median or halving"),
        (3, "early_stop is median or halving"),
        ({"name": "median", "trial": 3}, "did you mean 'trials'"),
        ({"name": "median", "epoch": 0}, "at least 1"),
        ({"name": "median", "epoch": "two"}, "type int"),
    ],
)
def test_wrong_settings_are_one_line(wrong: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        early_stop(wrong)
