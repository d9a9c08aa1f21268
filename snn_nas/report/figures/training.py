"""The winner's training: accuracy and loss over epochs."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import MaxNLocator

from snn_nas.report.figures.scales import accuracy_axis
from snn_nas.report.run import Run
from snn_nas.report.style import Theme, canvas


def draw(run: Run, theme: Theme) -> Any:
    """See the module; nothing for a training of one epoch."""
    if run.winner is None or len(run.winner.history) < 2:
        return None
    history = run.winner.history
    figure = canvas(8.4, 3.1)
    left, right = figure.subplots(1, 2)
    known = [(epoch.number, epoch.accuracy) for epoch in history if epoch.accuracy is not None]
    style: dict[str, Any] = {"color": theme.accent, "lw": 1.8, "marker": "o", "ms": 4 if len(history) <= 40 else 0}
    if known:
        accuracy_axis(left, [value for _, value in known])
        left.plot(*zip(*known, strict=True), **style)
    right.plot([epoch.number for epoch in history], [epoch.loss for epoch in history], **style)
    right.set_ylim(bottom=0)
    for axes, title in ((left, "validation accuracy"), (right, "training loss")):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
