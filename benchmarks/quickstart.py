"""Claim: the quickstart ends within 6 minutes of a 2-core machine, with a winner of at least 95 % on held-out digits.

Condenses the folder of a run that `make search` made into one record: python -m benchmarks.quickstart runs/ID
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.common import record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, required=True, help="of the whole command, set-up not counted")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    search = json.loads((options.run / "search.json").read_text(encoding="utf-8"))
    winner = json.loads((options.run / "winner" / "winner.json").read_text(encoding="utf-8"))
    record(
        "quickstart",
        {
            "seconds": options.seconds,
            "trials": search["trials"],
            "search_seconds": search["seconds"],
            "seed": search["seed"],
            "genotype": winner["genotype"],
            "winner": winner["metrics"],
            "twin": winner["twin"],
            "profile": winner["profile"],
            "run": winner["conditions"],
        },
        options.out,
    )


if __name__ == "__main__":
    main()
