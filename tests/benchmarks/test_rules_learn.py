"""Distances between rules are of the seeds that both have."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.readme_table import seeds
from benchmarks.rules_learn import margins


def row(group: str, name: str, *accuracies: float) -> dict[str, Any]:
    runs = [{"seed": seed, "accuracy": accuracy} for seed, accuracy in enumerate(accuracies)]
    return {"group": group, "contestant": name, "rules": name.split(" under "), "runs": runs}


def test_a_margin_is_over_the_seeds_that_both_have() -> None:
    rows = [
        row("only", "frozen", 0.5, 0.4),
        row("deep", "bp", 0.6, 0.7, 0.95),
        row("deep", "frsf", 0.5, 0.6, 0.7),
        row("deep", "usf", 0.7, 0.7),
        row("deep", "kp", 0.6),
        row("first", "frozen under frsf", 0.3),
        row("first", "stdp under frsf", 0.45),
        row("first", "stdp under local", 0.45),
    ]
    margins(rows)
    assert [one["over_frozen"] for one in rows] == pytest.approx([0, 0.2, 0.1, 0.25, 0.1, 0, 0.15, None])
    assert [one["under_bp"] for one in rows] == pytest.approx([0.2, 0, 0.15, -0.05, 0, 0.3, 0.15, 0.15])


def test_who_has_more_seeds_is_said() -> None:
    rows = [row("deep", "bp", 0.6, 0.7), row("deep", "frsf", 0.5)]
    assert seeds(rows) == "1 seeds (`bp` 2)"
    assert seeds(rows[:1]) == "2 seeds"
