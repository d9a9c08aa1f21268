"""From the events of a recording to frames: counts per time bin, polarity and pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurons.errors import UserError

Integers = NDArray[np.int64]


class Events(NamedTuple):
    """The events of one recording, each `[N]`: place, polarity (0 or 1) and time in microseconds."""

    x: Integers
    y: Integers
    polarity: Integers
    time: Integers

    def where(self, chosen: NDArray[np.bool_]) -> Events:
        """The events for which `chosen` (`[N]`) holds."""
        return Events(*(values[chosen] for values in self))


def frames(events: Events, side: int, steps: int, name: object) -> NDArray[np.uint8]:
    """Counts `[T, 2, side, side]`, the span from first to last event cut into T = `steps` equal bins; at most 255.

    Raises:
        UserError: there is no event, or one lies outside the sensor; `name` says of which recording.
    """
    if not len(events.x):
        raise UserError(f"{name} is not a recording: it holds no event")
    if min(events.x.min(), events.y.min()) < 0 or max(events.x.max(), events.y.max()) >= side:
        raise UserError(f"{name} is not a recording of a {side}x{side} sensor")
    first = events.time.min()
    step = (events.time - first) * steps // (events.time.max() - first + 1)
    place = ((step * 2 + events.polarity) * side + events.y) * side + events.x
    counts = np.bincount(place, minlength=steps * 2 * side * side)
    return np.minimum(counts, 255).astype(np.uint8).reshape(steps, 2, side, side)
