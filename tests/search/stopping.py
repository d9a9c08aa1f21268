"""What trials meet that are ended early."""

from __future__ import annotations

from collections.abc import Sequence

from snn_nas.search.early_stop import Hopeless, check


def stopped_after(curve: Sequence[float], bars: Sequence[float]) -> int | None:
    """The epoch after which a trial with this curve is ended; none if it runs to its end."""
    for epoch in range(1, len(curve) + 1):
        try:
            check(curve[:epoch], bars)
        except Hopeless:
            return epoch
    return None
