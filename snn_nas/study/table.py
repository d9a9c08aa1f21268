"""A study's record as a table in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snn_nas.report.words import NONE, energy, percent
from snn_nas.study.statistics import RESAMPLES

HEADS = (
    "network", "{value} accuracy", "runs", "passes", "the mix is ahead by", "p", "p (Holm)", "so the mix is",
    "locality", "inference", "learning", "tuned to",
)  # fmt: skip


def table(record: dict[str, Any]) -> str:
    """One row a contestant; accuracies in percent with their deviation, differences in points with 95 % intervals."""
    value = record["measured_on"]
    against = {each["b"]: each for each in record["accuracy"]}
    rows = [_cells(row, against.get(row["name"]), value) for row in record["contestants"]]
    return "\n".join([*markdown([head.format(value=value) for head in HEADS], rows), "", *_notes(record)]) + "\n"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table's lines."""
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def _cells(row: dict[str, Any], against: dict[str, Any] | None, value: str) -> list[str]:
    accuracy = row.get(value)
    if accuracy is None:
        return [row["name"], *[NONE] * (len(HEADS) - 1)]
    compared = [NONE] * 4
    if against is not None:
        p, corrected = (f"{against[key]:.4f}" for key in ("p", "p_holm"))
        compared = [points(against), p, corrected, against["verdict"]]
    costs = [energy(row[key]["mean"]) if key in row else NONE for key in ("energy_uJ", "learning_energy_uJ")]
    tuned = dict.fromkeys(f"lr x{run['lr']:g}, threshold x{run['threshold']:g}" for run in row["runs"])
    return [
        row["name"],
        f"{percent(accuracy['mean'], 2)} ± {100 * accuracy['deviation']:.2f}",
        str(accuracy["runs"]),
        " to ".join(map(str, dict.fromkeys((row["passes"][0], row["passes"][-1])))),
        *compared,
        f"{row['locality']['mean']:.2f}" if "locality" in row else NONE,
        *costs,
        next(iter(tuned)) if len(tuned) == 1 else "each its own",
    ]


def points(comparison: dict[str, Any]) -> str:
    """`+1.20 (0.40 to 2.00)`: a difference of accuracies, in points, with its interval."""
    difference, low, high = (100 * comparison[key] for key in ("difference", "low", "high"))
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})"


def _notes(record: dict[str, Any]) -> list[str]:
    settings, tuning = record["claim"]["settings"], record["claim"]["tuning"]
    training = settings["training"]
    budget = ", ".join(f"{key} {item}" for key, item in {"train": settings["train"] or "all", **training}.items())
    tries = len(tuning["lr"]) * len(tuning["threshold"])
    opened = record["test_opened"]
    return [
        f"{record['data_title']}, {budget}; one architecture, equal coverage: all layers under the rule that names "
        "the row. passes: over the training data; a layer that learns before the others takes some of its own. ± is "
        "the deviation over runs, in points; intervals are of 95 %. Energies of one inference and of learning from one "
        f"image on the profile {record['profile']}.",
        "",
        f"Everyone was tuned alike: {tries} tries (learning rate x {tuning['lr']}, threshold x {tuning['threshold']}), "
        f"chosen on validation images. p: two-sided permutation test of the means, {_ways(record)}; corrected for "
        f"{len(record['accuracy'])} comparisons (Holm). No significance is claimed below {record['least_runs']} runs."
        + _edge(record),
        "",
        f"The test split was opened {len(opened)} time{'s' * (len(opened) != 1)}"
        + "".join(f", at {each['at']} ({each['reason']})" for each in opened)
        + ".",
    ]


def _ways(record: dict[str, Any]) -> str:
    """How the runs were divided."""
    random = [each["b"] for each in record["accuracy"] if not each["exact"]]
    if not random:
        return "over every way to divide the runs"
    against = "" if len(random) == len(record["accuracy"]) else f" against {', '.join(random)}"
    return f"over {RESAMPLES:,} random ways to divide the runs{against}"


def _edge(record: dict[str, Any]) -> str:
    """Who might have gained from a wider grid."""
    tuning = record["claim"]["tuning"]
    ends = {key: {min(tuning[key]), max(tuning[key])} for key in ("lr", "threshold") if len(tuning[key]) > 2}
    rows = record["contestants"]
    found = [row["name"] for row in rows if any(run[key] in ends[key] for run in row["runs"] for key in ends)]
    return f" Chosen at an end of a range: {', '.join(found)}." if found else ""
