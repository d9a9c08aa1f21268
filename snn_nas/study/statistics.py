"""How two groups of runs are compared: exact permutation test, Holm's correction, an interval for the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

LEAST_RUNS = 6
"""Fewer runs a side claim no significance: three against three cannot get below p = 0.1."""
LEVEL = 0.05
CONFIDENCE = 0.95
RESAMPLES = 199_999
"""Up to so many ways to divide the runs are all tried; 6 against 6 have 924, 10 against 10 have 184,756."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`a` against `b` in some measurement.

    Attributes:
        difference: mean of a - mean of b; `low` and `high` bound it with 95 % confidence (Welch).
        p: two-sided, of the permutation test of the means; `least_p` is what no test of so many runs gets below.
        exact: whether every way to divide the runs was tried, or so many random ones.
        p_holm: p corrected for all comparisons of its family.
        significant: whether `p_holm` is below 0.05; None where there are too few runs to claim anything.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    least_p: float
    runs: tuple[int, int]
    exact: bool = True
    p_holm: float = math.nan
    significant: bool | None = None

    @property
    def verdict(self) -> str:
        """`higher`, `lower`, `not told apart`, or that there are too few runs."""
        if self.significant is None:
            return f"no claim: {min(self.runs)} runs, {LEAST_RUNS} are needed"
        if not self.significant:
            return "not told apart"
        return "higher" if self.difference > 0 else "lower"


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean and the sample's standard deviation (0 for a single value)."""
    return fmean(values), stdev(values) if len(values) > 1 else 0.0


def family(runs: Mapping[tuple[str, str], tuple[Sequence[float], Sequence[float]]]) -> list[Comparison]:
    """Compare each pair of groups, all corrected together."""
    single = [compare(a, b, xs, ys) for (a, b), (xs, ys) in runs.items()]
    corrected = holm([each.p for each in single])
    return [
        replace(each, p_holm=p, significant=None if min(each.runs) < LEAST_RUNS else p < LEVEL)
        for each, p in zip(single, corrected, strict=True)
    ]


def compare(a: str, b: str, xs: Sequence[float], ys: Sequence[float]) -> Comparison:
    """One comparison, uncorrected."""
    low, high = interval(xs, ys)
    ways = math.comb(len(xs) + len(ys), len(xs))
    least, runs = min(2 / ways, 1.0), (len(xs), len(ys))
    p = permutation_test(xs, ys)
    return Comparison(a, b, fmean(xs) - fmean(ys), low, high, p, least, runs, exact=ways <= RESAMPLES)


def permutation_test(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Two-sided p of the difference of means under all ways to divide the runs into two such groups.

    Exact up to `RESAMPLES` ways, ties included; beyond, over so many random ones of a fixed seed. It assumes nothing
    but that under the null hypothesis any run could have been the other's (Fisher 1935; Pitman 1937).
    """
    import numpy as np
    from scipy.stats import permutation_test as test

    def difference(one: Any, other: Any, axis: int) -> Any:
        return np.mean(one, axis=axis) - np.mean(other, axis=axis)

    found = test(
        (np.asarray(xs, float), np.asarray(ys, float)),
        difference,
        permutation_type="independent",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return min(float(found.pvalue), 1.0)


def interval(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Where the difference of the means lies with 95 % confidence (Welch 1947, unequal variances)."""
    from scipy.stats import ttest_ind

    difference = fmean(xs) - fmean(ys)
    if min(len(xs), len(ys)) < 2:
        return -math.inf, math.inf
    if stdev(xs) == stdev(ys) == 0.0:
        return difference, difference
    found = ttest_ind(xs, ys, equal_var=False).confidence_interval(CONFIDENCE)
    return float(found.low), float(found.high)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values that bound the chance of one false claim among all (Holm 1979): step down, and never less."""
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted = [0.0] * len(ps)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = largest
    return adjusted
