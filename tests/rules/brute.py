"""Definitions by explicit loops, to hold the fast forms against."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rules.synapse import Synapse

Index = tuple[int, ...]


def connections(synapse: Synapse, pre: tuple[int, ...], post: tuple[int, ...]) -> Iterator[tuple[Index, Index, Index]]:
    """Every synapse as (index of its weight, of its pre-, of its post-synaptic neuron), borders honoured."""
    if isinstance(synapse, nn.Linear):
        for o, i in itertools.product(range(post[0]), range(pre[0])):
            yield (o, i), (i,), (o,)
        return
    fan = synapse.in_channels // synapse.groups
    per_group = synapse.out_channels // synapse.groups
    (stride, _), (dilation, _), (pad, _) = synapse.stride, synapse.dilation, synapse.padding
    size = synapse.kernel_size[0]
    for o, y, x, i, a, b in itertools.product(*map(range, (*post, fan, size, size))):
        row, column = y * stride - pad + a * dilation, x * stride - pad + b * dilation  # type: ignore[operator]
        if 0 <= row < pre[1] and 0 <= column < pre[2]:
            yield (o, i, a, b), (o // per_group * fan + i, row, column), (o, y, x)


def dense(synapse: Synapse, weight: Tensor, pre: tuple[int, ...], post: tuple[int, ...]) -> Tensor:
    """The synapse as one matrix `[post neurons, pre neurons]`, by `weight`."""
    matrix = torch.zeros(*post, *pre, dtype=weight.dtype)
    for w, i, o in connections(synapse, pre, post):
        matrix[(*o, *i)] += weight[w]
    return matrix.flatten(0, len(post) - 1).flatten(1)


def correlation(synapse: Synapse, products: Tensor, pre: tuple[int, ...], post: tuple[int, ...]) -> Tensor:
    """Sum `[post neurons, pre neurons]` into the weights that join them."""
    found = torch.zeros_like(synapse.weight)
    table = products.view(*post, *pre)
    for w, i, o in connections(synapse, pre, post):
        found[w] += table[(*o, *i)]
    return found.detach()


def spike_pairs(pre: Tensor, post: Tensor, weight: dict[int, float]) -> Tensor:
    """`[post neurons, pre neurons]`: `weight[t_post - t_pre]`, summed over all pairs of spikes of `[T, B, ...]`."""
    pre, post = pre.flatten(2), post.flatten(2)
    total = torch.zeros(post.shape[2], pre.shape[2], dtype=pre.dtype)
    for s, t in itertools.product(range(len(pre)), range(len(post))):
        for b in range(pre.shape[1]):
            total += weight[t - s] * torch.outer(post[t, b], pre[s, b])
    return total
