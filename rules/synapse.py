"""Synapses, and the products that learning takes over them.

Two products are all that any rule here needs of a synapse's geometry: the current `W x`, and the sum over batch and
positions of post times pre. The second is the weight gradient of the first, so that stride, dilation, groups and
depthwise convolutions need no code of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Synapse = nn.Conv2d | nn.Linear


def run(synapse: Synapse, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """The current `[N, C', H', W']` of an input `[N, C, H, W]` (Linear: `[N, C']` of `[N, C]`).

    With `weight`, that one is used instead of the synapse's own, and the bias is left out.
    """
    bias = synapse.bias if weight is None else None
    weight = synapse.weight if weight is None else weight
    if isinstance(synapse, nn.Linear):
        return nn.functional.linear(x, weight, bias)
    return nn.functional.conv2d(x, weight, bias, synapse.stride, synapse.padding, synapse.dilation, synapse.groups)


def carry(synapse: Synapse, error: Tensor, x: Tensor, matrix: Tensor) -> Tensor:
    """The transposed product: an error at the current, `[N, C', ...]`, down to that of x, `[N, C, ...]`."""
    if isinstance(synapse, nn.Linear):
        return error @ matrix
    return _convolution_backward(synapse, error, x, matrix, 0)


def correlate(synapse: Synapse, pre: Tensor, post: Tensor) -> Tensor:
    """`sum over n and positions p of post[n, o, p] * pre[n, i, p + offset]`, in the shape of the weight.

    Args:
        synapse: whose geometry pairs pre- and post-synaptic neurons.
        pre: `[N, C, H, W]` or `[N, C]`; time is folded into N.
        post: `[N, C', H', W']` or `[N, C']`.
    """
    if isinstance(synapse, nn.Linear):
        return post.T @ pre
    return _convolution_backward(synapse, post, pre, synapse.weight, 1)


def _convolution_backward(conv: nn.Conv2d, grad: Tensor, x: Tensor, weight: Tensor, which: int) -> Tensor:
    """The gradient of a convolution for its input (`which` 0) or its weight (1)."""
    found: Tensor = torch.ops.aten.convolution_backward(
        grad, x, weight, None, conv.stride, conv.padding, conv.dilation, False, [0, 0], conv.groups,
        [which == 0, which == 1, False],
    )[which]  # fmt: skip
    return found


def per_channel(values: Tensor, like: Tensor, dim: int = 0) -> Tensor:
    """`[C]` shaped to broadcast along `dim` of a tensor."""
    return values.view(-1, *[1] * (like.dim() - dim - 1))


def channel_sum(x: Tensor, dim: int = 1) -> Tensor:
    """Sum over all but the channels: `[C]`."""
    return x.sum([d for d in range(x.dim()) if d != dim])


def channel_mean(x: Tensor, dim: int = 1) -> Tensor:
    """Mean over all but the channels: `[C]`."""
    return x.mean([d for d in range(x.dim()) if d != dim])


def fans(synapse: Synapse) -> tuple[int, int]:
    """Fan-in and fan-out of one neuron, borders aside, groups honoured."""
    if isinstance(synapse, nn.Linear):
        return synapse.in_features, synapse.out_features
    area = synapse.kernel_size[0] * synapse.kernel_size[1]
    return area * synapse.in_channels // synapse.groups, area * synapse.out_channels // synapse.groups


def unit_norm_(weight: Tensor) -> None:
    """Scale each neuron's weights to norm 1, in place."""
    norm = weight.flatten(1).norm(dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
    weight.div_(per_channel(norm, weight))
