from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snn_nas.data.select import balanced, draw, proportional

counts = st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(any).map(lambda c: np.array(c, dtype=np.int64))


@given(counts, st.data())
def test_proportional_hits_the_total_within_one_of_the_exact_share(available: np.ndarray, data: st.DataObject) -> None:
    total = data.draw(st.integers(0, int(available.sum())))
    quota = proportional(available, total)
    assert quota.sum() == total
    assert (quota <= available).all()
    assert (np.abs(quota - available * total / available.sum()) < 1).all()


@given(counts, st.data())
def test_balanced_hits_the_total_and_only_exhausted_classes_get_less(
    available: np.ndarray, data: st.DataObject
) -> None:
    total = data.draw(st.integers(0, int(available.sum())))
    quota = balanced(available, total)
    assert quota.sum() == total
    assert (quota <= available).all()
    with_more = quota < available
    assert not with_more.any() or quota[with_more].min() >= quota.max() - 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**31), st.data())
def test_draw_fulfils_the_quota_and_repeats_itself(drawn: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.array(drawn, dtype=np.int64)
    available = np.bincount(labels, minlength=5)
    quota = proportional(available, data.draw(st.integers(0, len(labels))))
    chosen = draw(labels, quota, seed)
    assert (np.bincount(labels[chosen], minlength=5) == quota).all()
    assert (np.diff(chosen) > 0).all()
    assert (chosen == draw(labels, quota, seed)).all()
