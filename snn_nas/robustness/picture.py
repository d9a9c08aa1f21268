"""A picture of robustness: accuracy under each attack as the ball grows, and under each corruption."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from snn_nas.report.style import LIGHT, Theme, canvas, drawing, write_picture
from snn_nas.robustness.subjects import TWIN

STYLES = {"fgsm": ":", "pgd": (0, (5, 2)), "apgd": "-", "square": (0, (1, 1)), "transfer": "-.", "worst": "-"}


def save(record: dict[str, Any], path: Path) -> None:
    """Draw the record as a PNG."""
    with drawing(LIGHT):
        write_picture(draw(record, LIGHT), path)


def draw(record: dict[str, Any], theme: Theme) -> Any:
    """One panel an attack, one for corruptions; a colour a group, bp grey."""
    groups = record["groups"]
    eps = record["plan"]["eps"]
    numbers = [group["numbers"] for group in groups.values()]
    names = [name for name in STYLES if any(f"{name} at {eps[0]}" in each for each in numbers)]
    columns = len(names) + 1
    rows = 1 if columns <= 4 else 2
    figure = canvas(10.4, 3.1 * rows + 0.5)
    panels = figure.subplots(rows, -(-columns // rows), sharey=True).flatten()
    colours = _colours(list(groups), theme)
    for axes, name in zip(panels, names, strict=False):
        for label, each in zip(groups, numbers, strict=True):
            found = [each["accuracy"], *(each.get(f"{name} at {size}") for size in eps)]
            at = [float(255 * size) for size in (Fraction(0), *map(Fraction, eps))]
            shown = [(x, 100 * n["mean"], 100 * n["deviation"]) for x, n in zip(at, found, strict=True) if n]
            if len(shown) > 1:
                xs, ys, spread = zip(*shown, strict=True)
                style = {"color": colours[label], "marker": "o", "ms": 4, "lw": 1.6, "capsize": 2}
                axes.errorbar(xs, ys, yerr=spread, label=label, **style)
        axes.set_title(name)
        axes.set_xlabel("eps, in 1/255")
    last = panels[len(names)]
    kinds = next(iter(groups.values()))["corruptions"]
    for place, kind in enumerate(reversed(kinds)):
        for label, group in groups.items():
            values = [100 * value for value in group["corruptions"][kind]]
            shift = 0.16 * (list(groups).index(label) - (len(groups) - 1) / 2)
            last.plot([place + shift] * len(values), values, color=colours[label], marker="o", ms=3, lw=1.0)
    last.set_xticks(range(len(kinds)), list(reversed(kinds)), rotation=40, ha="right", fontsize=8)
    last.set_title("corruptions, five severities")
    for unused in panels[len(names) + 1 :]:
        unused.set_visible(False)
    for axes in panels[:: -(-columns // rows)]:
        axes.set_ylabel("accuracy, %")
    panels[0].set_ylim(0, 100)
    panels[0].legend()
    figure.suptitle(f"{record['data_title']}: accuracy under attack", x=0.01, ha="left", fontweight="bold", fontsize=11)
    return figure


def _colours(groups: list[str], theme: Theme) -> dict[str, str]:
    palette = [theme.accent, "#d55e00", "#009e73", "#cc79a7", "#e69f00"]
    others = [group for group in groups if group != TWIN]
    return {group: palette[i % len(palette)] for i, group in enumerate(others)} | {TWIN: "#4d4d4d"}
