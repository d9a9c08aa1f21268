"""Which strategy finds good rule assignments soonest: all of them on the rule table that is shipped.

Strategies see the validation accuracy of one run; what is reported is the mean held-out accuracy, over its runs, of the
network that validates best so far, averaged over repeats with different seeds.

    python -m benchmarks.rule_table_search --out benchmarks/results/rule_table_search.json \\
        --plot docs/images/rule_table_search.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.common import record
from benchmarks.curves import COLOURS, plot, repeat, summary
from snn_nas.search import STRATEGIES, rule_table

AT = (5, 10, 20, 30, 50, 75, 100)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, default=rule_table.SHIPPED)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--strategies", nargs="+", default=list(COLOURS), choices=list(STRATEGIES))
    parser.add_argument("--out")
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    space, table = rule_table.load(options.table)
    best = max(table.validation, key=lambda digest: table.validation[digest]["accuracy"])
    ceiling = round(100 * table.test[best]["accuracy"], 2)  # as the curves are
    curves: dict[str, list[list[float]]] = {name: [] for name in options.strategies}
    found = {}
    for name, rows in curves.items():
        seconds = repeat(name, space, table, range(options.repeats), rows, AT[-1])
        found[name] = {**summary(rows, AT), "cpu_seconds_per_search": round(seconds, 3)}
    if options.plot:
        title = f"Searches over {len(table.test)} rule assignments"
        plot(curves, "held-out accuracy, %", title, options.plot, ceiling)
    about = {"repeats": options.repeats, "metric": "held-out accuracy of the best by validation, %"}
    result = {"networks": len(table.test), "best_by_validation": ceiling, "strategies": found}
    record("rule_table_search", {**about, "table": table.name, **result}, options.out)


if __name__ == "__main__":
    main()
