"""Norms, with the statistics of all processes' shares of a batch where several learn together.

What is learned then does not depend on how many they are. The price is two small sums over processes for each norm
and direction, as in torch's SyncBatchNorm, which has no CPU version.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rules import across
from rules.synapse import channel_mean, per_channel


def normed(norm: nn.Module, current: Tensor) -> Tensor:
    """`norm(current)`, of `[N, C, ...]`."""
    if not _shared(norm):
        return norm(current)  # type: ignore[no-any-return]
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    return _batch_norm(norm, current, norm.momentum or 0.0)


def normed_step(norm: nn.Module, current: Tensor, T: int) -> Tensor:
    """Norm one of T steps by its own statistics; T steps move the running ones as far as one batch does."""
    if not (isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.training):
        return norm(current)  # type: ignore[no-any-return]
    momentum = 1.0 - (1.0 - (norm.momentum or 0.0)) ** (1.0 / T)
    if _shared(norm):
        return _batch_norm(norm, current, momentum)
    return nn.functional.batch_norm(
        current, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, momentum, norm.eps
    )


def _shared(norm: nn.Module) -> bool:
    return across.processes() > 1 and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.training


def _batch_norm(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor, momentum: float) -> Tensor:
    """torch's batch norm in training."""
    mean = channel_mean(x)
    centred = x - per_channel(mean, x, 1)
    variance = channel_mean(centred.square())
    with torch.no_grad():
        seen = x.numel() // x.shape[1] * across.processes()
        for running, value in ((norm.running_mean, mean), (norm.running_var, variance * (seen / (seen - 1)))):
            assert running is not None
            running.lerp_(value, momentum)
    scaled = centred * per_channel((variance + norm.eps).rsqrt(), x, 1)
    return scaled if norm.weight is None else scaled * per_channel(norm.weight, x, 1) + per_channel(norm.bias, x, 1)
