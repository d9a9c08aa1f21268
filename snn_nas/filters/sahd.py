"""SNASNet's sparsity-aware Hamming distance (Kim et al. 2022, arXiv 2201.10355, section 3.3).

Two codes with shares r and s of zeros differ, by chance alone, in N (r (1 - s) + (1 - r) s) of N neurons: the sparser,
the less, and spiking layers are sparse to very different degrees. So the distance is scaled to what it would be at
r = s = 1/2,

    d_SA = d_H * 0.5 / (r (1 - s) + (1 - r) s).

Codes that nothing can tell apart, both silent or both saturated, have the distance 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_nas.filters.spikes import hamming, log_determinant
from snn_nas.network import Network


def distance(code: Tensor) -> Tensor:
    """`[B, B]` of binary codes `[B, N]`."""
    zeros = 1 - code.mean(1)
    chance = zeros[:, None] * (1 - zeros) + (1 - zeros[:, None]) * zeros
    return torch.where(chance > 0, 0.5 * hamming(code) / chance.clamp(min=1e-300), 0.0)


def score(network: Network, images: Tensor) -> float:
    """`log det` of the kernel by this distance, of images `[B, C, H, W]`."""
    return log_determinant(network, images, distance)
