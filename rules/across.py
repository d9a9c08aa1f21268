"""Means over processes, where several learn together: each has an equal share of every batch.

Whatever a rule or a norm takes as a mean over the batch is the mean over processes of their own means; with it every
process computes what one alone would, but for the rounding. In one process nothing happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

_alone = False


def processes() -> int:
    """How many learn together."""
    return dist.get_world_size() if not _alone and dist.is_available() and dist.is_initialized() else 1


@contextmanager
def alone() -> Iterator[None]:
    """Within the block every process does all of the work, the same as the others, and asks none of them."""
    global _alone  # noqa: PLW0603  as torch's own switches are
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def mean(x: Tensor) -> Tensor:
    """The mean over all processes of a tensor that each has; a gradient goes back to all of them."""
    if processes() == 1:
        return x
    found: Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
    return found


def rows(x: Tensor) -> Tensor:
    """The rows of all processes, one share after the other; a gradient goes back to each row's own process."""
    if processes() == 1:
        return x
    found: Tensor = _Rows.apply(x)  # type: ignore[no-untyped-call]
    return found


def deviation(x: Tensor) -> Tensor:
    """The standard deviation of all processes' numbers, a scalar."""
    if processes() == 1:
        return x.std()
    seen = x.numel() * processes()
    return (mean((x - mean(x.mean())).square().mean()) * (seen / (seen - 1))).sqrt()


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _reduced(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _reduced(grad)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        shares = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(processes())]
        dist.all_gather(shares, x.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # The sum of all processes' gradients: the trainer's mean over processes divides by their number again.
        return _reduced(grad).chunk(processes())[dist.get_rank()] * processes()


def _reduced(x: Tensor) -> Tensor:
    found = x.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(found)
    return found.div_(processes())
