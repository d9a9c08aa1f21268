"""Accuracy against energy: every trial that works, the front, the winner and its back-propagated twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.colors import Normalize

from snn_nas.report.figures.scales import accuracy_axis, energy_axis
from snn_nas.report.run import Run
from snn_nas.report.style import Theme, canvas, scale
from snn_nas.report.words import label
from snn_nas.search.objective import OBJECTIVES
from snn_nas.search.pareto import pareto

Point = tuple[float, float]  # energy, accuracy


def draw(run: Run, theme: Theme) -> Any:
    """See the module."""
    shown = [
        r for r in run.results if r.ok and {"accuracy", "energy_uJ"} <= r.metrics.keys() and r.metrics["energy_uJ"] > 0
    ]
    if not shown:
        return None
    points = [(r.metrics["energy_uJ"], r.metrics["accuracy"]) for r in shown]
    final = {
        "winner": _point(run.winner.metrics) if run.winner else None,
        "bp twin": _point(run.winner.twin) if run.winner and run.winner.twin else None,
    }
    marks = {name: point for name, point in final.items() if point is not None}
    everything = [*points, *marks.values()]

    figure = canvas(8.4, 5.2)
    axes = figure.add_subplot()
    energy_axis(axes, [x for x, _ in everything])
    accuracy_axis(axes, [y for _, y in everything])
    axes.set_xlabel(f"energy of one inference on profile {run.profile}")
    axes.set_ylabel("validation accuracy (the error on a log scale)")

    best = {r.digest for r in run.front}
    steps = pareto(shown, [OBJECTIVES["accuracy"], OBJECTIVES["energy_uJ"]])
    border = _staircase(axes, [(r.metrics["energy_uJ"], r.metrics["accuracy"]) for r in steps], theme)
    for ringed in (False, True):
        group = [i for i, r in enumerate(shown) if (r.digest in best) == ringed]
        if not group:
            continue
        locality = [shown[i].metrics.get("locality", 0.0) for i in group]
        dots = axes.scatter(
            *zip(*(points[i] for i in group), strict=True),
            c=locality,
            cmap=scale(theme),
            norm=Normalize(0, 1),
            s=64 if ringed else 38,
            edgecolors=theme.ink if ringed else theme.paper,
            linewidths=1.3 if ringed else 0.6,
            zorder=4 if ringed else 3,
        )
    bar = figure.colorbar(dots, ax=axes, pad=0.015, aspect=28, format=lambda v, _: f"{100 * v:.0f} %")
    bar.set_label("locality: weights that learn without a transported error")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)

    trial = next((points[i] for i, r in enumerate(shown) if run.winner and r.digest == run.winner.digest), None)
    if trial and "winner" in marks:
        axes.annotate(
            "",
            marks["winner"],
            trial,
            zorder=5,
            arrowprops={
                "arrowstyle": "-|>",
                "color": theme.ink,
                "lw": 1.1,
                "ls": (0, (2, 1.5)),
                "shrinkA": 4,
                "shrinkB": 8,
            },
        )
    _mark(axes, marks, [*everything, *border, *_between(trial, marks.get("winner"))], theme)
    _legend(axes, run, sum(r.digest not in best for r in shown), theme)
    return figure


def _point(metrics: Mapping[str, float]) -> Point | None:
    if "validation_accuracy" not in metrics or metrics.get("energy_uJ", 0) <= 0:
        return None
    return metrics["energy_uJ"], metrics["validation_accuracy"]


def _between(start: Point | None, end: Point | None) -> list[Point]:
    """Points along the arrow from the winner's trial, which no label should hide."""
    if start is None or end is None:
        return []
    return [(end[0] * (start[0] / end[0]) ** (n / 8), end[1] + (start[1] - end[1]) * n / 8) for n in range(1, 8)]


def _staircase(axes: Any, front: Sequence[Point], theme: Theme) -> list[Point]:
    """The border of what was found: at this energy, no better than this. Returns points along its last step."""
    path = sorted(front)
    xs = [path[0][0], *(x for x, _ in path), axes.get_xlim()[1]]
    ys = [axes.get_ylim()[0], *(y for _, y in path), path[-1][1]]
    axes.step(xs, ys, where="post", color=theme.accent, lw=1.6, zorder=2)
    axes.fill_between(xs, ys, axes.get_ylim()[0], step="post", color=theme.accent, alpha=0.07, lw=0, zorder=1)
    return _between((path[-1][0], ys[-1]), (xs[-1], ys[-1]))


def _mark(axes: Any, marks: Mapping[str, Point], everything: Sequence[Point], theme: Theme) -> None:
    """The two trained networks, each with its name where it hides the least."""
    markers = {"winner": ("*", 300, theme.accent), "bp twin": ("D", 70, theme.muted)}
    names = {"winner": "winner, trained in full", "bp twin": "its bp twin"}
    axes.figure.draw_without_rendering()  # the layout is settled, so that places can be compared
    dpi = axes.figure.dpi
    taken = [tuple(xy / dpi) for xy in axes.transData.transform(everything)]
    frame = axes.get_window_extent()
    room = (frame.x0 / dpi, frame.y0 / dpi, frame.x1 / dpi, frame.y1 / dpi)
    for name, point in marks.items():
        marker, size, colour = markers[name]
        axes.scatter(*point, marker=marker, s=size, c=colour, edgecolors=theme.paper, linewidths=1.2, zorder=6)
        x, y = axes.transData.transform(point) / dpi
        dx, dy = _best_place((x, y), 0.088 * len(names[name]), taken, room)
        taken += [(x + dx + step / 10 * 0.088 * len(names[name]), y + dy) for step in range(-5, 6)]
        axes.annotate(
            names[name],
            point,
            xytext=(72 * dx, 72 * dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontweight="bold",
            fontsize=10,
            zorder=7,
            bbox={"boxstyle": "round,pad=0.1", "fc": theme.paper, "ec": "none", "alpha": 0.7},
        )


def _best_place(at: Point, width: float, taken: Sequence[Point], room: tuple[float, float, float, float]) -> Point:
    """Where, from `at`, the middle of a label of this width goes: on as few points as can be. In inches."""
    side = width / 2 + 0.16

    def cost(offset: Point) -> float:
        x, y = at[0] + offset[0], at[1] + offset[1]
        hidden = sum(abs(a - x) < width / 2 + 0.07 and abs(b - y) < 0.18 for a, b in taken)
        outside = x - width / 2 < room[0] or x + width / 2 > room[2] or y - 0.1 < room[1] or y + 0.1 > room[3]
        return hidden + 100 * outside

    ways = [
        (side, 0.0),
        (-side, 0.0),
        *((sx * side * part, sy) for sy in (0.2, -0.2, 0.34, -0.34) for part in (0.0, 0.9) for sx in (1, -1)),
    ]
    return min(ways, key=cost)


def _legend(axes: Any, run: Run, others: int, theme: Theme) -> None:
    wanted = ", ".join(label(objective.name) for objective in run.search.front)
    axes.plot([], [], color=theme.accent, lw=1.6, label="front of accuracy and energy")
    axes.scatter([], [], s=64, c=theme.paper, edgecolors=theme.ink, linewidths=1.3, label=f"best in {wanted}")
    axes.scatter([], [], s=38, c=theme.muted, linewidths=0, label=f"{others} other trials")
    lost = ", ".join(f"{n} {status}" for status, n in run.counts.items() if status != "ok" and n)
    if lost:
        axes.plot([], [], ls="", label=f"not drawn: {lost}")
    columns = 2
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.3, columnspacing=2.0)
