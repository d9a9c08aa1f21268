"""The baseline: the number of synaptic weights. It needs no image and no spike."""

from __future__ import annotations

from torch import Tensor

from snn_nas.network import Network


def score(network: Network, images: Tensor) -> float:
    """The number of synaptic weights."""
    del images
    return float(network.graph.weights)
