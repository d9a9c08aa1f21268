"""Pictures of what networks cost: by layer, by cause, by profile, and accuracy against energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from snn_nas.energy.anytime import Stop
from snn_nas.energy.result import CAUSES, Energy
from snn_nas.energy.tables import Row
from snn_nas.report.figures.scales import accuracy_axis, energy_axis, tick
from snn_nas.report.style import LIGHT, Theme, canvas, drawing, on, write_picture
from snn_nas.report.words import energy, percent

COLOURS: Mapping[str, str] = {
    "operations": "#0072b2",
    "memory": "#e69f00",
    "leak": "#009e73",
    "addressing": "#cc79a7",
    "communication": "#d55e00",
}
"""Of causes; Okabe and Ito's, which can be told apart without colour vision."""

_WHAT = {"inference": "one inference", "learning": "learning from one sample"}
_SPIKING, _TWIN = "#0072b2", "#d55e00"


@dataclass(frozen=True)
class Measured:
    """What is drawn of one network.

    Attributes:
        name: for titles.
        costs: on each of the profiles that were asked for.
        everywhere: on every profile; see `snn_nas.energy.tables.by_profile`.
        curve: on the first of the profiles; see `snn_nas.energy.anytime`.
    """

    name: str
    costs: Sequence[Energy]
    everywhere: Sequence[Row]
    curve: Sequence[Stop]


def save(networks: Sequence[Measured], folder: Path, theme: Theme = LIGHT) -> list[Path]:
    """Write `by_layer.png`, `by_cause.png`, `by_profile.png`, numbered for several networks, and `accuracy.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Callable[[Theme], Any]] = {}
    for number, network in enumerate(networks, 1):
        suffix = f"_{number}" if len(networks) > 1 else ""
        figures[f"by_layer{suffix}.png"] = partial(by_layer, network)
        figures[f"by_cause{suffix}.png"] = partial(by_cause, network)
        figures[f"by_profile{suffix}.png"] = partial(by_profile, network)
    figures["accuracy.png"] = partial(accuracy, networks)
    paths = []
    for name, draw in figures.items():
        with drawing(theme):
            paths.append(folder / name)
            write_picture(draw(theme), paths[-1])
    return paths


def by_layer(network: Measured, theme: Theme) -> Any:
    """One panel a profile, one bar a layer, stacked by cause."""
    rows = max(len(cost.pJ) for cost in network.costs)
    figure = canvas(8.4, 0.9 + len(network.costs) * (0.75 + 0.34 * rows))
    panels = figure.subplots(len(network.costs), 1, squeeze=False)[:, 0]
    for axes, cost in zip(panels, network.costs, strict=True):
        names = list(cost.pJ)
        totals = list(cost.by_layer.values())
        left = [0.0] * len(names)
        for cause in CAUSES:
            part = [cost.pJ[name].get(cause, 0.0) * 1e-6 for name in names]
            axes.barh(names, part, left=left, color=COLOURS[cause], edgecolor=theme.paper, linewidth=0.6, height=0.7)
            left = [a + b for a, b in zip(left, part, strict=True)]
        for row, total in enumerate(totals):
            axes.annotate(
                energy(total),
                (total, row),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
                color=theme.ink,
            )
        axes.set_title(f"{network.name}: {_WHAT[cost.what]} on {cost.profile}, {energy(cost.total_uJ)}{_without(cost)}")
        axes.set_xlim(0, max([*totals, 1e-12]) * 1.15)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    _legend(figure, network.costs)
    return figure


def by_cause(network: Measured, theme: Theme) -> Any:
    """One bar a profile: which part of the energy has which cause."""
    figure = canvas(8.4, 1.3 + 0.55 * len(network.costs))
    axes = figure.add_subplot()
    names = [f"{cost.profile}{'*' if cost.missing else ''}\n{energy(cost.total_uJ)}" for cost in network.costs]
    left = [0.0] * len(names)
    for cause in CAUSES:
        part = [cost.by_cause[cause] / cost.total_uJ if cost.total_uJ else 0.0 for cost in network.costs]
        bars = axes.barh(names, part, left=left, color=COLOURS[cause], edgecolor=theme.paper, linewidth=0.8, height=0.7)
        texts = [percent(value, 0) if value >= 0.05 else "" for value in part]
        axes.bar_label(bars, texts, label_type="center", fontsize=9, color=on(COLOURS[cause]))
        left = [a + b for a, b in zip(left, part, strict=True)]
    axes.set_title(f"{network.name}: energy of {_WHAT[network.costs[0].what]}, by cause")
    if lacking := [f"{cost.profile}: {', '.join(cost.missing)}" for cost in network.costs if cost.missing]:
        axes.set_xlabel("* no figure for part of it. " + "; ".join(lacking), wrap=True)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    _legend(figure, network.costs)
    return figure


def by_profile(network: Measured, theme: Theme) -> Any:
    """Every profile on one scale: inference, its rate twin where one runs, and learning where that has a figure."""
    priced = [row for row in network.everywhere if row["inference_uJ"] is not None]
    priced.sort(key=lambda row: float(row["inference_uJ"] or 0.0))
    figure = canvas(8.4, 1.4 + 0.34 * len(priced))
    axes = figure.add_subplot()
    kinds = (
        ("inference_uJ", "o", _SPIKING, "one inference"),
        ("twin_uJ", "D", _TWIN, "its equal-bits rate twin"),
        ("learning_uJ", "s", theme.muted, "learning from one sample"),
    )
    values = [float(row[key] or 0.0) for row in priced for key, *_ in kinds if row[key]]
    energy_axis(axes, values)
    for key, marker, colour, label in kinds:
        points = [(float(row[key] or 0.0), at) for at, row in enumerate(priced) if row[key]]
        if points:
            axes.scatter(
                *zip(*points, strict=True), marker=marker, c=colour, edgecolors=theme.paper, s=56, label=label, zorder=3
            )
    names = [f"{row['profile']}{'*' if row['missing'] else ''}" for row in priced]
    axes.set_yticks(range(len(priced)), names, color=theme.ink)
    axes.set_ylim(len(priced) - 0.4, -0.6)
    axes.set_title(f"{network.name}: energy on every profile")
    unknown = ", ".join(str(row["profile"]) for row in network.everywhere if row["inference_uJ"] is None)
    note = "* no figure for part of it: `snn-nas energy --format json` names what"
    axes.set_xlabel(f"{note}\nwithout any figure: {unknown}" if unknown else note)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def accuracy(networks: Sequence[Measured], theme: Theme) -> Any:
    """What each network knows when stopped after 1, 2, ... T time steps, and what it has spent by then."""
    figure = canvas(8.4, 4.6)
    axes = figure.add_subplot()
    colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", theme.muted]
    points = [stop for network in networks for stop in network.curve]
    energy_axis(axes, [stop.energy_uJ for stop in points])
    accuracy_axis(axes, [stop.accuracy for stop in points])
    for number, network in enumerate(networks):
        colour = colours[number % len(colours)]
        xs, ys = [stop.energy_uJ for stop in network.curve], [stop.accuracy for stop in network.curve]
        axes.plot(
            xs, ys, color=colour, lw=1.4, marker="o", markersize=6, markeredgecolor=theme.paper, label=network.name
        )
        for stop in network.curve:
            axes.annotate(
                f"{stop.steps}",
                (stop.energy_uJ, stop.accuracy),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color=theme.muted,
            )
    axes.set_title("Accuracy against energy, stopped after each time step")
    axes.set_xlabel(f"energy of one inference on {networks[0].costs[0].profile}, up to that step")
    axes.set_ylabel("validation accuracy (the error on a log scale)")
    axes.legend(loc="lower right")
    return figure


def _legend(figure: Any, costs: Sequence[Energy]) -> None:
    causes = [cause for cause in CAUSES if any(cost.by_cause[cause] for cost in costs)]
    figure.legend(
        handles=[Patch(facecolor=COLOURS[cause], label=cause) for cause in causes],
        loc="outside lower center",
        ncols=len(causes) or 1,
        handlelength=1.0,
        handleheight=1.0,
    )


def _without(cost: Energy) -> str:
    return f"\n(no figure for {', '.join(cost.missing)})" if cost.missing else ""
