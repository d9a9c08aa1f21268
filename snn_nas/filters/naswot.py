"""NASWOT (Mellor et al. 2021, arXiv 2006.04647): how differently images make the network spike.

There the code of an image is which rectifiers are on; here it is which neurons spike, step by step.
"""

from __future__ import annotations

from torch import Tensor

from snn_nas.filters.spikes import hamming, log_determinant
from snn_nas.network import Network


def score(network: Network, images: Tensor) -> float:
    """`log det` of the kernel by Hamming distance, of images `[B, C, H, W]`."""
    return log_determinant(network, images, hamming)
