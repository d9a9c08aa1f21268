"""Searches compared on a table: many repeats of each strategy, their curves, and the picture with bands."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from snn_nas.report.style import LIGHT, canvas, drawing
from snn_nas.search import create, objectives
from snn_nas.search.strategy import Space
from snn_nas.search.tabular import Table, trace

COLOURS = {
    "random": "#8c959f", "local_search": "#e69f00", "evolution": "#009e73", "nsga2": "#cc79a7", "predictor": "#0072b2",
}  # fmt: skip


def repeat(name: str, space: Space, table: Table, seeds: range, curves: list[list[float]], trials: int) -> float:
    """Append the curve of each seed, in percent; return the seconds that one search took on average."""
    began = time.process_time()
    for seed in seeds:
        found = trace(create(name, space, objectives(["accuracy"]), seed), table, trials)
        curves.append([round(100 * value, 2) for value in found])
    return (time.process_time() - began) / max(len(seeds), 1)


def summary(curves: list[list[float]], at: Sequence[int]) -> dict[str, Any]:
    """Mean, standard error and quartiles over the repeats, after each number of evaluations in `at`."""
    values = np.array(curves)[:, [n - 1 for n in at]]
    error = values.std(0, ddof=1) / len(values) ** 0.5
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    columns = {"mean": values.mean(0), "standard_error": error, "quartile_1": low, "quartile_3": high}
    return {what: {str(n): round(float(x), 3) for n, x in zip(at, row, strict=True)} for what, row in columns.items()}


FEW = 4
"""Repeats of which a band would say more than is known."""


def plot(
    curves: dict[str, list[list[float]]],
    ylabel: str,
    title: str,
    path: Path,
    ceiling: float | None = None,
    colours: dict[str, str] = COLOURS,
) -> None:
    """Mean curves with bands of two standard errors, of few repeats the repeats, and a line at the best there is."""
    with drawing(LIGHT):
        figure = canvas(7.2, 4.2)
        axes = figure.subplots()
        for name, rows in curves.items():
            values = np.array(rows)
            mean, error = values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5
            x = np.arange(1, values.shape[1] + 1)
            colour = colours.get(name, LIGHT.ink)
            axes.plot(x, mean, color=colour, linewidth=1.8, label=name.replace("_", " "))
            if len(values) > FEW:
                axes.fill_between(x, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.18, linewidth=0)
            else:
                axes.plot(x, values.T, color=colour, linewidth=0.7, alpha=0.45)
        low = np.floor(4 * min(np.mean(rows, 0)[19] for rows in curves.values())) / 4
        high = max(np.mean(rows, 0).max() for rows in curves.values())
        if ceiling is not None:
            high, above = max(high, ceiling), ceiling + 0.01 * (ceiling - low)
            axes.axhline(ceiling, color=LIGHT.muted, linewidth=0.9, linestyle=(0, (4, 3)))
            axes.text(3, above, "what validates best of all", color=LIGHT.muted, fontsize=8, va="bottom")
        axes.set(xlim=(0, max(len(row) for rows in curves.values() for row in rows)))
        axes.set(ylim=(low, high + 0.09 * (high - low)), xlabel="evaluations", ylabel=ylabel)
        axes.set_title(title)
        if len(curves) > 5:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        else:
            axes.legend(loc="lower right")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)
