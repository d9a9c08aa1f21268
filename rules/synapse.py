"""Synapses, and the products that learning takes over them.

Two products are all that any rule here needs of a synapse's geometry: the current `W x`, and the sum over batch and
positions of post times pre. The second is the weight gradient of the first, so that stride, dilation, groups and
depthwise convolutions need no code of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rules import across
from rules.precision import asked, emulated, rounded

Synapse = nn.Conv2d | nn.Linear


def run(synapse: Synapse, x: Tensor, weight: Tensor | None = None) -> Tensor:
    """The current `[N, C', H', W']` of an input `[N, C, H, W]` (Linear: `[N, C']` of `[N, C]`).

    With `weight`, that one is used instead of the synapse's own, and the bias is left out. Under `torch.autocast` the
    product is taken in its type (spikes lose nothing by that) and comes back in x's.
    """
    bias = synapse.bias if weight is None else None
    weight = synapse.weight if weight is None else weight
    if emulated(x):
        bias = None if bias is None else rounded(bias)
        with torch.autocast(x.device.type, enabled=False):
            return rounded(_product(synapse, rounded(x), rounded(weight), bias))
    return _product(synapse, x, weight, bias).to(x.dtype)


def _product(synapse: Synapse, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(synapse, nn.Linear):
        return nn.functional.linear(x, weight, bias)
    x, stride = seen(synapse, x)
    return nn.functional.conv2d(x, weight, bias, stride, synapse.padding, synapse.dilation, synapse.groups)


def seen(synapse: nn.Conv2d, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """The part of x that a convolution sees, and the stride at which it sees that.

    A kernel of 1x1 steps over positions; they are left out beforehand on a CPU. oneDNN's weight gradient would do the
    same, but for channels last, on AVX2, with fewer than 8 input channels, writes beyond its own memory (torch 2.13).
    """
    down, right = synapse.stride
    if x.device.type != "cpu" or synapse.kernel_size != (1, 1) or (down, right) == (1, 1) or any(_padding(synapse)):
        return x, synapse.stride
    return x[:, :, ::down, ::right], (1, 1)


def _padding(synapse: nn.Conv2d) -> tuple[int, ...]:
    assert not isinstance(synapse.padding, str)
    return synapse.padding


def backward(
    synapse: Synapse, error: Tensor, x: Tensor, matrix: Tensor, *, down: bool = True, up: bool = True
) -> tuple[Tensor | None, Tensor | None]:
    """Both products of a backward pass, in the one call in which back-propagation takes them.

    Args:
        synapse: whose geometry it is.
        error: at the current, `[N, C', ...]`.
        x: the input, `[N, C, ...]`.
        matrix: in the weight's shape; it carries the error down. The weight's own gradient does not depend on it.
        down: whether the error at the input is wanted, in x's shape.
        up: whether the weight's gradient is wanted.

    Under `torch.autocast` the products are taken in its type, and come back in that of x and of the matrix.
    """
    if emulated(x):
        with torch.autocast(x.device.type, enabled=False):
            found = backward(synapse, rounded(error), rounded(x), rounded(matrix), down=down, up=up)
        below, weight = (None if each is None else rounded(each) for each in found)
        return below, weight
    low = asked(x)
    if isinstance(synapse, nn.Linear):
        error = error.to(low)
        below, weight = error @ matrix.to(low) if down else None, error.T @ x.to(low) if up else None
    else:
        part, stride = seen(synapse, x)
        below, weight, _ = torch.ops.aten.convolution_backward(
            error.to(low), part.to(low), matrix.to(low), None, stride, synapse.padding, synapse.dilation,
            False, [0, 0], synapse.groups, [down, up, False],
        )  # fmt: skip
        if below is not None and part is not x:
            whole = torch.zeros_like(x, dtype=below.dtype)
            seen(synapse, whole)[0].copy_(below)
            below = whole
    return None if below is None else below.to(x.dtype), None if weight is None else weight.to(matrix.dtype)


def correlate(synapse: Synapse, pre: Tensor, post: Tensor) -> Tensor:
    """`sum over n and positions p of post[n, o, p] * pre[n, i, p + offset]`, in the shape of the weight.

    Args:
        synapse: whose geometry pairs pre- and post-synaptic neurons.
        pre: `[N, C, H, W]` or `[N, C]`; time is folded into N.
        post: `[N, C', H', W']` or `[N, C']`.
    """
    found = backward(synapse, post, pre, synapse.weight, down=False)[1]
    assert found is not None
    return found


def per_channel(values: Tensor, like: Tensor, dim: int = 0) -> Tensor:
    """`[C]` shaped to broadcast along `dim` of a tensor."""
    return values.view(-1, *[1] * (like.dim() - dim - 1))


def channel_mean(x: Tensor, dim: int = 1) -> Tensor:
    """Mean over all but the channels, and over processes: `[C]`."""
    return across.mean(x.mean([d for d in range(x.dim()) if d != dim]))


def channel_sum(x: Tensor) -> Tensor:
    """Sum over all but the channels of `[N, C, ...]`, of this process: `[C]`."""
    return x.sum([d for d in range(x.dim()) if d != 1])


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
