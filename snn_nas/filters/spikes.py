"""What the filters look at: the spikes of every population at initialisation, and kernels of images made from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from snn_nas.network import Network

Distance = Callable[[Tensor], Tensor]
"""From binary codes `[B, N]` to distances `[B, B]`."""


@torch.no_grad()
def spikes(network: Network, images: Tensor) -> dict[str, Tensor]:
    """By layer: `[T, B, N]`, 0 or 1. Norms take the batch's statistics, as in the first step of a training."""
    found: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out, name=name: found.__setitem__(name, out.flatten(2)))
        for name, layer in network.layers.items()
        if layer.population is not None
    ]
    network.eval()
    for layer in network:
        layer.norm.train()
    network(images)
    for hook in hooks:
        hook.remove()
    return found


def log_determinant(network: Network, images: Tensor, distance: Distance) -> float:
    """`log det K`, where `K[i, j]` is the sum over layers and steps of N - d(i, j): N neurons, d their distance.

    The more alike two images make the network spike, the nearer are two rows of K, and its determinant is to 0; minus
    infinity where two images are one to it.
    """
    total = torch.zeros(len(images), len(images), dtype=torch.float64)
    for codes in spikes(network, images).values():
        for code in codes.double():
            total += code.shape[1] - distance(code)
    sign, value = torch.linalg.slogdet(total)
    return float(value) if sign > 0 else -torch.inf


def hamming(code: Tensor) -> Tensor:
    """The number of neurons in which each two codes of `[B, N]` differ."""
    return code @ (1 - code).T + (1 - code) @ code.T
