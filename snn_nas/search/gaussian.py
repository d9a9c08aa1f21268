"""A Gaussian process over count features: a mean and a standard deviation for every candidate, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[int, int]
Array = np.ndarray[Any, np.dtype[np.float64]]
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Length scales that are tried, in parts of the median squared distance."""
NOISES = (0.01, 0.03, 0.1, 0.3)
"""Noise variances that are tried, in parts of the signal's."""


class GaussianProcess:
    """Squared exponential kernel on counts; scale and noise maximise the likelihood over a small grid.

    Counts are integers, so distances are exact, whatever the order in which features were met.
    """

    def __init__(self) -> None:
        self.columns: dict[int, int] = {}
        self.X = np.zeros((0, 0))

    def fit(self, rows: Sequence[Row], y: Sequence[float], chosen: tuple[float, float] | None = None) -> None:
        """Learn from rows of features and their values of mean 0; `chosen` is a `kernel` that need not be sought."""
        for row in rows[len(self.X) :]:
            for key in row:
                self.columns.setdefault(key, len(self.columns))
        self.X = self._dense(rows)
        self.norms = (self.X**2).sum(1)
        distance = self.norms[:, None] + self.norms - 2 * self.X @ self.X.T
        target = np.asarray(y, dtype=np.float64)
        if chosen is None:
            away = distance[np.triu_indices(len(distance), 1)]
            middle = float(np.median(away)) if len(away) and away.any() else 1.0
            grid = [(scale * max(middle, 1.0), noise) for scale in SCALES for noise in NOISES]
            chosen = max(grid, key=lambda kernel: _likelihood(_kernel(distance, *kernel), target))
        self.kernel = chosen
        self.inverse = np.linalg.inv(_kernel(distance, *chosen))
        self.weights = self.inverse @ target
        self.signal = max(float(target @ self.weights) / len(target), 1e-12)

    def predict(self, rows: Sequence[Row]) -> tuple[Array, Array]:
        """Mean and standard deviation of each row, noise not included."""
        B = self._dense(rows)
        norms = np.array([sum(count**2 for count in row.values()) for row in rows], dtype=np.float64)
        K = np.exp(-(norms[:, None] + self.norms - 2 * B @ self.X.T) / self.kernel[0])
        explained = np.einsum("ij,ij->i", K @ self.inverse, K)
        return K @ self.weights, np.sqrt(self.signal * np.clip(1.0 - explained, 1e-9, None))

    def _dense(self, rows: Sequence[Row]) -> Array:
        """Counts by column; features that were never learnt from have none."""
        dense = np.zeros((len(rows), len(self.columns)))
        for i, row in enumerate(rows):
            for key, count in row.items():
                if (column := self.columns.get(key)) is not None:
                    dense[i, column] = count
        return dense


def _kernel(distance: Array, scale: float, noise: float) -> Array:
    K: Array = np.exp(-distance / scale)
    K[np.diag_indices_from(K)] += noise
    return K


def _likelihood(K: Array, y: Array) -> float:
    """The log likelihood at the signal variance that is best for it.

    One Cholesky factor gives both terms: with y as a last row below K, the last row of the factor is L^-1 y.
    """
    n = len(y)
    whole = np.block([[K, y[:, None]], [y, np.array([1e12])]])
    L = np.linalg.cholesky(whole)
    signal = max(float(L[n, :n] @ L[n, :n]) / n, 1e-12)
    return float(-0.5 * n * np.log(signal) - np.log(np.diag(L)[:n]).sum())
