"""Axes that more than one picture uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from snn_nas.report.words import energy

_FLOOR = 0.002  # an error below this is drawn as if it were none
_TICKS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 1.0)


def _height(accuracy: Any) -> Any:
    return -np.log10(1 - np.clip(np.asarray(accuracy, float), -0.5, 1 + 0.75 * _FLOOR) + _FLOOR)


def _accuracy(height: Any) -> Any:
    return 1 + _FLOOR - 10 ** -np.asarray(height, float)


def accuracy_axis(axes: Any, values: Sequence[float]) -> None:
    """A vertical axis of accuracy on which halving the error is always one step; evenly spaced ticks are kept."""
    low, high = _height(min(values)), _height(max(values))
    margin = 0.07 * (high - low) or 0.15
    low, high = max(low - margin, _height(0.0)), high + margin
    axes.set_yscale("function", functions=(_height, _accuracy))
    axes.set_ylim(_accuracy(low), min(_accuracy(high), 1 + _FLOOR / 2))
    ticks: list[float] = []
    for value in reversed(_TICKS):
        at = _height(value)
        if low <= at <= high and (not ticks or _height(ticks[-1]) - at > 0.06 * (high - low)):
            ticks.append(value)
    if len(ticks) < 3:
        steps = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(float(_accuracy(low)), float(_accuracy(high)))
        ticks = [float(value) for value in steps if value <= 1 and low <= _height(value) <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.6g} %"))


def tick(microjoules: float) -> str:
    """An energy at an axis, without idle zeros."""
    number, _, unit = energy(microjoules).partition(" ")
    return f"{float(number):g} {unit}" if microjoules else "0"


def energy_axis(axes: Any, values: Sequence[float]) -> None:
    """A horizontal, logarithmic axis of energy in microjoules, its ticks in the unit that fits."""
    low, high = min(values), max(values)
    spread = max((high / low) ** 0.06, 1.06)
    axes.set_xscale("log")
    axes.set_xlim(low / spread, high * spread)
    decades = np.log10(high / low)
    steps = (1, 2, 3, 5, 7) if decades < 0.8 else (1, 2, 5) if decades < 2 else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=30))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
