"""Bounds on firing rates: a layer that is silent or always on at initialisation tells what follows nothing.

The score is 0 where the rate of every layer lies within `BOUNDS` spikes a neuron and step, and falls by the logarithm
of the factor by which one lies outside of them.
"""

from __future__ import annotations

import math

from torch import Tensor

from snn_nas.filters.spikes import spikes
from snn_nas.network import Network

BOUNDS = (0.02, 0.5)
SILENT = 1e-6


def score(network: Network, images: Tensor) -> float:
    """Minus the sum over layers of the log factors by which they miss the bounds, for images `[B, C, H, W]`."""
    low, high = BOUNDS
    rates = [max(SILENT, float(found.mean())) for found in spikes(network, images).values()]
    return -sum(max(0.0, math.log(low / rate), math.log(rate / high)) for rate in rates)
