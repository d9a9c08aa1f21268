"""Gradient checkpointing: a layer keeps its input for the backward pass, and computes the rest once more.

Of a layer's tensors of T steps, the current before and after the norm are two of three; the third, its input, is the
spikes of the layer below. So of most layers about a third is left, for one more forward pass (Chen et al. 2016); more
where the rule reads its own spikes. It is done layer by layer and not in pieces of time: a norm's statistics are those
of all steps together. What comes out is equal to the last bit, wherever the forward pass is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rules.layer import Layer


def recomputed(layer: Layer, *below: Tensor, static: bool, call: Callable[..., Tensor] = Layer.__call__) -> Tensor:
    """`call(layer, *below, static=static)`, kept as its inputs alone where a backward pass will go through it."""
    if not (torch.is_grad_enabled() and layer.training and layer.differentiable):
        return call(layer, *below, static=static)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _counted_once(layer)

    # nothing in a layer's forward pass is random
    out: Tensor = checkpoint(
        partial(call, static=static), layer, *below, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return out


@contextmanager
def _counted_once(layer: Layer) -> Iterator[None]:
    """Within the block, running statistics stay as they are: they have seen this batch."""
    norm = layer.norm
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        yield
        return
    momentum, count = norm.momentum, norm.num_batches_tracked
    norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, count
