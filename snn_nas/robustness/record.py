"""What the measured networks came to, group by group, and how the first group compares with the twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from snn_nas.conditions import places
from snn_nas.robustness.subjects import TWIN
from snn_nas.study.statistics import family, mean_and_deviation

Record = dict[str, Any]


def summarise(found: Sequence[Record], about: Record) -> Record:
    """The JSON record: `found` has one row a network, `about` the plan, the data and the conditions.

    Every group but the twins' is compared with them: in what counts (`worst` at each eps, and corruptions) and in
    everything else, each corrected by itself (Holm).
    """
    groups: dict[str, list[Record]] = {}
    for row in found:
        groups.setdefault(row["group"], []).append(row)
    table = {group: _means(rows) for group, rows in groups.items()}
    pairs: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for group, rows in groups.items():
        if group != TWIN and TWIN in groups and min(len(rows), len(groups[TWIN])) > 1:
            ours, theirs = _columns(rows), _columns(groups[TWIN])
            pairs |= {(group, name): (ours[name], theirs[name]) for name in ours if name in theirs}
    counts = {key: runs for key, runs in pairs.items() if key[1].startswith("worst") or key[1] == "corrupted"}
    others = {key: runs for key, runs in pairs.items() if key not in counts}
    compared = [
        {**asdict(each), "b": TWIN, "measured": each.b, "verdict": each.verdict}
        for each in (*family(counts), *family(others))
    ]
    failed = [{"network": _name(row), **check} for row in found for check in row["checks"] if not check["holds"]]
    return {
        "benchmark": "robustness", **about, "groups": table, "comparisons": compared, "failed_checks": failed,
        "diverged": [_name(row) for row in found if row.get("status") == "diverged"],
        "ran_at": places(found), "networks": list(found),
    }  # fmt: skip


def _name(row: Record) -> str:
    return f"{row['group']}, seed {row['seed']}"


def _columns(rows: Sequence[Record]) -> dict[str, list[float]]:
    """Every single number of a network, by name: `accuracy`, `apgd at 8/255`, ..., `corrupted`."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        flat = {"accuracy": row["accuracy"], "corrupted": row["corrupted"]}
        for eps, attacks in row["attacks"].items():
            flat |= {f"{name} at {eps}": value for name, value in attacks.items()}
        for name, value in flat.items():
            columns.setdefault(name, []).append(value)
    return columns


def _means(rows: Sequence[Record]) -> Record:
    numbers = {}
    for name, values in _columns(rows).items():
        mean, deviation = mean_and_deviation(values)
        numbers[name] = {"mean": mean, "deviation": deviation, "runs": len(values)}
    severities = {
        kind: [fmean(each) for each in zip(*(row["corruptions"][kind] for row in rows), strict=True)]
        for kind in rows[0]["corruptions"]
    }
    genotype = next((row["genotype"] for row in rows if row["genotype"]), None)
    return {"genotype": genotype, "numbers": numbers, "corruptions": severities}
