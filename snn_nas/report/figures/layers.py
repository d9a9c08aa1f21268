"""Where the winner's spikes and joules go, layer by layer, in the colours of their rules."""

from __future__ import annotations

from typing import Any

from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from snn_nas.report.figures.scales import tick
from snn_nas.report.run import Run
from snn_nas.report.style import Theme, canvas, rule_colour
from snn_nas.report.words import count, energy, percent


def draw(run: Run, theme: Theme) -> Any:
    """See the module."""
    if run.winner is None or not run.winner.layers:
        return None
    layers = run.winner.layers
    colours = [rule_colour(layer.rule) for layer in layers]
    names = [layer.name.replace("_", "\n") for layer in layers]
    rows = list(range(len(layers)))

    figure = canvas(8.4, 1.35 + 0.44 * len(layers))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, title, values, texts in (
        (
            left,
            "spikes per inference (firing rate)",
            [layer.spikes or 0.0 for layer in layers],
            [
                f"{count(layer.spikes)} ({percent(layer.rate)})" if layer.rate is not None else "no neurons"
                for layer in layers
            ],
        ),
        (
            right,
            f"energy per inference, {run.profile}",
            [layer.microjoules for layer in layers],
            [energy(layer.microjoules) for layer in layers],
        ),
    ):
        bars = axes.barh(rows, values, color=colours, edgecolor=theme.paper, linewidth=0.8, height=0.68)
        axes.bar_label(bars, texts, padding=4, fontsize=9, color=theme.ink)
        axes.set_title(title)
        axes.grid(axis="y", visible=False)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlim(0, max([*values, 1e-12]) * 1.36)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _, e=axes is right: tick(value) if e else count(value))
        )
    left.set_yticks(rows, names, color=theme.ink)
    left.set_ylim(len(layers) - 0.4, -0.6)
    rules = dict(zip((layer.rule for layer in layers), colours, strict=True))
    figure.legend(
        handles=[Patch(facecolor=colour, label=rule) for rule, colour in rules.items()],
        loc="outside lower center",
        ncols=min(len(rules), 8),
        handlelength=1.0,
        handleheight=1.0,
    )
    return figure
