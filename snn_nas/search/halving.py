"""Successive halving over epochs: at each rung, only the best of every `eta` trials go on.

Jamieson and Talwalkar 2016 (arXiv 1502.07943) give a budget to many trials, keep the best 1/eta, and give those eta
times as much. ASHA (Li et al. 2020, arXiv 1810.05934, algorithm 2) does so without waiting for a whole rung to fill:
a trial goes on if it is among the top 1/eta of all that have come to the rung *so far*, itself included. Its early ones
are judged by few, so it is more generous to them; Hyperband's brackets (Li et al. 2018), which hedge against rungs that
come too early, are searches with other `first`.

Here, "so far" is the results that the proposal was drawn from: its bars are fixed when it is drawn (`early_stop.py`).
Rung r lies after epoch `first * eta**r`; with n earlier trials there, a trial is among the top 1/eta, itself included,
if its best accuracy reaches the k-th best of theirs, k = floor((n + 1) / eta). Ties go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neurons.settings import Setting, resolve

SETTINGS: Mapping[str, Setting] = {
    "eta": Setting(3, low=2, help="one in so many goes on at each rung, with so many times the epochs"),
    "first": Setting(1, low=1, help="the epoch of the first rung"),
}


class Halving:
    """The rule with its settings."""

    name = "halving"

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Raise UserError for a setting that is unknown or out of range."""
        settings = resolve(given, SETTINGS, "early_stop halving")
        self.eta, self.first = int(settings["eta"]), int(settings["first"])

    def bars(self, curves: Sequence[Sequence[float]]) -> list[float]:
        """What the best accuracy must reach after epochs 1, 2, ...; 0, which stops nobody, between rungs and at those
        to which fewer than eta - 1 trials have come.

        `curves` are the accuracies of earlier trials, epoch by epoch; those that were stopped at a rung came to it.
        There is no bar for the last epoch of the longest: to stop there would save nothing.
        """
        found = [0.0] * max(0, max(map(len, curves), default=0) - 1)
        rung = self.first
        while rung <= len(found):
            there = sorted((max(curve[:rung]) for curve in curves if len(curve) >= rung), reverse=True)
            if k := (len(there) + 1) // self.eta:
                found[rung - 1] = there[k - 1]
            rung *= self.eta
        return found
