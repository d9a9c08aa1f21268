"""A study's picture: every run a dot, every contestant's mean a bar, the mix's mean a line through them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from snn_nas.report.figures.scales import energy_axis
from snn_nas.report.style import LIGHT, Theme, canvas, drawing, rule_colour, stroke, write_picture


def save(record: dict[str, Any], path: Path) -> None:
    """Draw the record as a PNG."""
    with drawing(LIGHT):
        write_picture(draw(record, LIGHT), path)


def draw(record: dict[str, Any], theme: Theme) -> Any:
    """Accuracy by contestant, the most accurate on top; beside it what an inference and learning from an image cost."""
    value = record["measured_on"]
    rows = sorted((row for row in record["contestants"] if value in row), key=lambda row: row[value]["mean"])
    figure = canvas(9.6, 1.7 + 0.36 * max(len(rows), 3))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.1, 1.0))
    verdict = {each["b"]: each for each in record["accuracy"]}
    for place, row in enumerate(rows):
        colour = stroke(_colour(row, theme), theme)
        values = [100 * run[value] for run in row["runs"]]
        spread = [0.16 * (k / max(len(values) - 1, 1) - 0.5) for k in range(len(values))]
        left.scatter(values, [place + dy for dy in spread], s=20, color=colour, alpha=0.75, linewidths=0, zorder=3)
        mean = 100 * row[value]["mean"]
        left.plot([mean, mean], [place - 0.3, place + 0.3], color=colour, lw=2.4, zorder=4, solid_capstyle="round")
        if (found := verdict.get(row["name"])) is not None and found["significant"]:
            left.annotate(
                "*", (1.0, place), xycoords=("axes fraction", "data"), xytext=(-4, -4), textcoords="offset points",
                ha="right", va="center", fontsize=14, fontweight="bold", color=theme.ink,
            )  # fmt: skip
        for key, marker, face in (("energy_uJ", "o", colour), ("learning_energy_uJ", "D", "none")):
            if key in row:
                right.scatter(row[key]["mean"], place, marker=marker, s=34, color=face, edgecolors=colour, zorder=3)
    mix = next((row for row in rows if row["kind"] == "mix"), None)
    if mix is not None:
        left.axvline(100 * mix[value]["mean"], color=theme.accent, lw=1.2, ls=(0, (4, 3)), zorder=1)
    left.set_yticks(range(len(rows)), [row["name"] for row in rows])
    for label, row in zip(left.get_yticklabels(), rows, strict=True):
        label.set_color(theme.ink if row["kind"] in ("mix", "other") else theme.muted)
        label.set_fontweight("bold" if row["kind"] in ("mix", "other") else "normal")
    left.set_xlabel(f"{value} accuracy, % (dots: runs; bar: mean; *: told apart from the mix)")
    left.set_title(f"{record['name']}: {record['data_title']}")
    if costs := [row[key]["mean"] for row in rows for key in ("energy_uJ", "learning_energy_uJ") if key in row]:
        energy_axis(right, costs)
    right.set_xlabel(f"energy an image, {record['profile']}")
    right.set_title("● inference   ◇ learning", fontsize=9, fontweight="normal")
    right.tick_params(axis="x", labelrotation=25)
    return figure


def _colour(row: dict[str, Any], theme: Theme) -> str:
    if row["kind"] in ("mix", "other"):
        return theme.accent
    return theme.muted if row["kind"] == "random" else rule_colour(row["name"].partition("(")[0])
