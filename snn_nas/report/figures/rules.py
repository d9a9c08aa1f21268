"""Which rules the front uses at each depth, beside those that all working trials used there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from matplotlib.patches import Patch

from rules.registry import names
from snn_nas.report.run import Run
from snn_nas.report.style import Theme, canvas, on
from snn_nas.report.words import rules_of
from snn_nas.search.result import Result

MIN_TRIALS = 8
MIN_FRONT = 3
MAX_DEPTH = 12

_ORDER = {name: place for place, name in enumerate(["gradient", *names()])}


def draw(run: Run, theme: Theme) -> Any:
    """See the module; nothing where there are too few trials to compare."""
    works = [result for result in run.results if result.ok]
    if len(works) < MIN_TRIALS or len(run.front) < MIN_FRONT:
        return None
    everywhere, front = _by_position(works), _by_position(run.front)
    positions = [n for n in range(min(len(everywhere), MAX_DEPTH)) if sum(everywhere[n].values()) >= MIN_FRONT]
    if not positions:
        return None
    colours = {name: colour for counts in everywhere for name, colour in counts}
    order = sorted(colours, key=lambda name: _ORDER.get(name.split("~")[0], len(_ORDER)))

    figure = canvas(8.4, 1.3 + 0.78 * len(positions))
    axes = figure.add_subplot()
    ticks: dict[float, str] = {}
    for row, position in enumerate(positions):
        for offset, counts, name in ((-0.19, front, "front"), (0.19, everywhere, "all")):
            here = counts[position] if position < len(counts) else Counter()
            total = sum(here.values())
            ticks[row + offset] = f"{name} ({total})"
            start = 0.0
            for rule in order:
                part = here[rule, colours[rule]] / total if total else 0.0
                axes.barh(
                    row + offset,
                    part,
                    left=start,
                    height=0.34,
                    color=colours[rule],
                    edgecolor=theme.paper,
                    linewidth=0.8,
                    alpha=1.0 if counts is front else 0.62,
                )
                if part > 0.012 * len(rule) + 0.014 and counts is front:
                    axes.text(
                        start + part / 2,
                        row + offset,
                        rule,
                        ha="center",
                        va="center",
                        fontsize=9,
                        color=on(colours[rule]),
                    )
                start += part
        axes.text(-0.115, row, f"layer {position + 1}", ha="right", va="center", fontweight="bold")
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(len(positions) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("share of the genotypes that have such a layer")
    axes.grid(axis="y", visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    figure.legend(
        handles=[Patch(facecolor=colours[rule], label=rule) for rule in order],
        loc="outside upper center",
        ncols=min(len(order), 9),
        handlelength=1.0,
        handleheight=1.0,
    )
    return figure


def _by_position(results: Sequence[Result]) -> list[Counter[tuple[str, str]]]:
    """For each hidden layer's place, how often each rule (with its colour) stands there."""
    counts: list[Counter[tuple[str, str]]] = []
    for result in results:
        hidden = [rule for rule in rules_of(result.genotype) if not rule.declaration.readout]
        for place, rule in enumerate(hidden):
            if place == len(counts):
                counts.append(Counter())
            counts[place][rule.name, rule.colour] += 1
    return counts
