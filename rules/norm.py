"""Norms, with the statistics of all processes' shares of a batch where several learn together.

What is learned then does not depend on how many they are. The price is two small sums over processes for each norm
and direction, as in torch's SyncBatchNorm, which has no CPU version.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rules import across
from rules.synapse import channel_mean, channel_sum, per_channel


def normed(norm: nn.Module, current: Tensor) -> Tensor:
    """`norm(current)`, of `[N, C, ...]`."""
    if not _shared(norm):
        return norm(current)  # type: ignore[no-any-return]
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked += 1
    return _batch_norm(norm, current, norm.momentum or 0.0, norm.weight, norm.bias)


def normed_step(norm: nn.Module, current: Tensor, T: int) -> Tensor:
    """Norm one of T steps by its own statistics; T steps move the running ones as far as one batch does."""
    if not (isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.training):
        return norm(current)  # type: ignore[no-any-return]
    return _step(norm, current, T, norm.weight, norm.bias)


class NormTrace(NamedTuple):
    """`trace[t] = decay trace[t-1] + x[t]` of what a norm's scale and shift are multiplied by."""

    value: Tensor | float = 0.0
    """Of the current in units of its spread, `[B, C, ...]`."""
    one: Tensor | float = 0.0
    """Of the number 1."""


def traced_step(
    norm: nn.Module, current: Tensor, T: int, before: NormTrace, decay: Tensor | float
) -> tuple[Tensor, NormTrace]:
    """`normed_step`; scale and shift take an error with the traces of what they are multiplied by, as weights do."""
    if not (isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.training):
        return normed_step(norm, current, T), before
    unscaled = _step(norm, current, T, None, None)
    trace = NormTrace(decay * before.value + unscaled.detach(), decay * before.one + 1.0)
    scaled: Tensor = _Scale.apply(unscaled, norm.weight, norm.bias, *trace)  # type: ignore[no-untyped-call]
    return scaled, trace


class _Scale(torch.autograd.Function):
    """y = weight x + bias, whose gradients are the error's product with traces of x and of 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, trace: Tensor, one: Tensor | float) -> Tensor:
        ctx.save_for_backward(weight, trace)
        ctx.one = one
        return x * per_channel(weight, x, 1) + per_channel(bias, x, 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        weight, trace = ctx.saved_tensors
        return grad * per_channel(weight, grad, 1), channel_sum(grad * trace), ctx.one * channel_sum(grad), None, None


def _step(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, current: Tensor, T: int, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
    momentum = 1.0 - (1.0 - (norm.momentum or 0.0)) ** (1.0 / T)
    if _shared(norm):
        return _batch_norm(norm, current, momentum, weight, bias)
    mean, variance = norm.running_mean, norm.running_var
    return nn.functional.batch_norm(current, mean, variance, weight, bias, True, momentum, norm.eps)


def _shared(norm: nn.Module) -> bool:
    return across.processes() > 1 and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.training


def _batch_norm(
    norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor, momentum: float, weight: Tensor | None, bias: Tensor | None
) -> Tensor:
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
    return scaled if weight is None or bias is None else scaled * per_channel(weight, x, 1) + per_channel(bias, x, 1)
