"""Which items a split takes: counts per class, and a seeded draw that fulfils them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def proportional(available: Counts, total: int) -> Counts:
    """`total` items over the classes in proportion to `available` (`[classes]`), by largest remainder."""
    if not total:
        return np.zeros_like(available)
    share = available * total
    quota = share // available.sum()
    order = np.argsort(-(share - quota * available.sum()), kind="stable")
    quota[order[: total - quota.sum()]] += 1
    return np.asarray(quota, dtype=np.int64)


def balanced(available: Counts, total: int) -> Counts:
    """`total` items over the classes, as equal as `available` (`[classes]`) allows; a short class gives all it has."""
    quota = np.zeros_like(available)
    left = total
    while left:
        open_classes = np.flatnonzero(quota < available)
        each = max(1, left // len(open_classes))
        for label in open_classes[:left]:
            quota[label] += (step := min(each, int(available[label] - quota[label])))
            left -= step
    return quota


def draw(labels: NDArray[np.int64], quota: Counts, seed: int | tuple[int, ...]) -> NDArray[np.int64]:
    """Sorted indices into `labels` (`[N]`) of a seeded random choice of `quota[c]` items of every class c."""
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(labels == label))[:count] for label, count in enumerate(quota)]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
