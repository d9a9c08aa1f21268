"""Rules by which a trial that has fallen behind ends itself: by name, and what they have in common.

An outsider that kills trials, as NNI's assessors do, looks at whatever has finished by then; so which trials it stops
depends on timing. Here a rule fixes the bars of a proposal when it is drawn, from the very results that the proposal
was drawn from, and they travel with its parameters. The trial stops itself. The same seed stops the same trials, on any
machine, after a resume, and under every service that NNI can start trials with.

All rules look at accuracy alone. A search that is after small or frugal networks, which may learn more slowly, does
without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from neurons.errors import UserError
from neurons.settings import nearest
from snn_nas.search.halving import Halving
from snn_nas.search.median import MedianStop

RULES: Mapping[str, type[MedianStop] | type[Halving]] = {rule.name: rule for rule in (MedianStop, Halving)}


class Rule(Protocol):
    """What sets the bars."""

    def bars(self, curves: Sequence[Sequence[float]]) -> list[float]:
        """What the best accuracy must reach after epochs 1, 2, ...; 0 stops nobody.

        `curves` are the accuracies of earlier trials, epoch by epoch.
        """


class Hopeless(Exception):  # noqa: N818  a way for a trial to end, no fault of ours
    """The trial has fallen behind. `parent` is the digest of the network whose weights it started from, if of any."""

    parent = ""


def check(curve: Sequence[float], bars: Sequence[float]) -> None:
    """Look at a trial after each epoch.

    Raises:
        Hopeless: its best accuracy lies below the bar of this epoch.
    """
    epoch = len(curve)
    if 0 < epoch <= len(bars) and max(curve) < bars[epoch - 1]:
        raise Hopeless(
            f"best accuracy {max(curve):.3f} after epoch {epoch} is below {bars[epoch - 1]:.3f}, "
            "the bar that the trials before it set"
        )


def early_stop(given: Any) -> Rule | None:
    """The rule from a tuner's `early_stop`: nothing, a name, or `{name: median, ...settings}`.

    Raises:
        UserError: there is no such rule or setting.
    """
    if given is None:
        return None
    chosen = {"name": given} if isinstance(given, str) else dict(given) if isinstance(given, Mapping) else {}
    name = str(chosen.pop("name", None))
    if name not in RULES:
        known = " or ".join(RULES)
        raise UserError(f"early_stop is {known}, or {{name: median, ...}}, not {given!r}{nearest(name, RULES)}")
    return RULES[name](chosen)
