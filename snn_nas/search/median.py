"""The median rule: a trial that learns worse than half of those before it ends early.

Golovin et al. 2017 (Google Vizier, doi 10.1145/3097983.3098043, section 3.2): a trial is stopped after an epoch if the
best of its accuracies so far lies strictly below a bar: the median, over earlier trials, of the mean of their
accuracies up to that epoch. What is fixed when is told in `early_stop.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

from neurons.settings import Setting, resolve

SETTINGS: Mapping[str, Setting] = {
    "epoch": Setting(1, low=1, help="the first epoch after which a trial may be stopped"),
    "trials": Setting(5, low=1, help="earlier trials that have come this far, before anyone is stopped"),
}


class MedianStop:
    """The rule with its settings."""

    name = "median"

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Raise UserError for a setting that is unknown or out of range."""
        settings = resolve(given, SETTINGS, "early_stop median")
        self.epoch, self.trials = int(settings["epoch"]), int(settings["trials"])

    def bars(self, curves: Sequence[Sequence[float]]) -> list[float]:
        """What the best accuracy must reach after epochs 1, 2, ...; 0, which stops nobody, where too little is known.

        `curves` are the accuracies of earlier trials, epoch by epoch; those that were stopped count as far as they
        came. There is no bar for the last epoch of the longest: to stop there would save nothing.
        """
        found = []
        for epoch in range(1, max(map(len, curves), default=0)):
            means = [fmean(curve[:epoch]) for curve in curves if len(curve) >= epoch]
            found.append(median(means) if epoch >= self.epoch and len(means) >= self.trials else 0.0)
        return found
