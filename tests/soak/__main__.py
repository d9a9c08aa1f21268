"""`python -m tests.soak [kills] [many] [quickstarts] [--out RECORD]`: the long runs and their record.

Exit code 1, or an AssertionError, if something does not hold.

Each part that is run replaces its own entry of the record, so that a part can be run again alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snn_nas.conditions import conditions
from snn_nas.search.files import write_json
from tests import REPOSITORY
from tests.soak import kills, many, quickstarts

CLAIM = (
    "SIGKILL of trial, dispatcher or manager at any moment loses no finished trial and runs none twice; hundreds of "
    "trials leave memory flat and throughput steady; quickstarts with one seed are equal, a resumed one too"
)


def main() -> int:
    """Run, print, record."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("parts", nargs="*", default=["kills", "many", "quickstarts"])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--quickstarts", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "soak.json")
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "kills": lambda folder: kills.run(folder, kills=options.kills, trials=5 * options.kills, seed=options.seed),
        "many": lambda folder: many.run(folder, trials=options.trials),
        "quickstarts": lambda folder: quickstarts.run(folder, times=options.quickstarts, trials=8, seed=options.seed),
    }
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    os.environ.pop("NODE_OPTIONS", None)
    record = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    for name in options.parts:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            os.environ["HOME"] = str(Path(folder) / "home")  # NNI's list of experiments
            Path(os.environ["HOME"]).mkdir()
            before = os.getloadavg()[0]
            done = parts[name](Path(folder))
            load = {"load_before": round(before, 1), "load_after": round(os.getloadavg()[0], 1)}
            record = {
                "benchmark": "soak",
                "claim": CLAIM,
                **record,
                name: {**done, "conditions": {**conditions(), **load}},
            }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, record)
        print(json.dumps({name: record[name]}, indent=1), flush=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    failed = [
        f"{part}: {name}"
        for part in options.parts
        for name, holds in record[part].get("holds", {}).items()
        if not holds
    ]
    for line in failed:
        print(f"DOES NOT HOLD  {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
