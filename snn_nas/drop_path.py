"""Scheduled drop-path: while a network learns, paths into a sum are left out at random, for each sample anew.

    sum = x_1 m_1 / (1 - p) + x_2 m_2 / (1 - p) + ...,    m ~ Bernoulli(1 - p)

A path is what an operation of its own, a layer or a pool, leads into a sum; a skip, which others read too, is never
dropped. That is NASNet's scheduled drop-path in the form in which DARTS has it (Zoph et al. 2018, Liu et al. 2019),
and stochastic depth where the sum is a skip and one branch (Huang et al. 2016). A mask is the same at every time step:
a path is there or it is not. p rises in equal steps over the epochs from 0. In evaluation nothing is dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_nas.graph import Graph, Node


def paths(graph: Graph) -> tuple[str, ...]:
    """The nodes that a sum may do without: each is read by that sum alone, and is none itself."""
    return tuple(
        name
        for node in graph
        if node.op == "add"
        for name in node.inputs
        if len(graph.consumers[name]) == 1 and graph[name].op != "add"
    )


class DropPath:
    """The masks of one batch. `rate` is p, and 0 until somebody sets it."""

    def __init__(self, graph: Graph) -> None:
        self.rate = 0.0
        self._paths = paths(graph)
        self._masks: dict[str, Tensor] = {}

    def draw(self, images: Tensor, training: bool) -> None:
        """Before a batch `[B, C, H, W]` or `[T, B, C, H, W]`: draw its masks, from torch's global generator."""
        if not (training and self.rate > 0.0):
            self._masks = {}
            return
        keep = 1.0 - self.rate
        drawn = torch.rand(len(self._paths), images.shape[-4], device=images.device) < keep
        self._masks = dict(zip(self._paths, drawn.to(images.dtype) / keep, strict=True))

    def __call__(self, node: Node, below: list[Tensor]) -> list[Tensor]:
        """The inputs of a sum, `[T, B, ...]` or `[B, ...]` each, less what is dropped."""
        if not self._masks:
            return below
        broad = (-1, *[1] * len(node.shape))
        return [
            x * self._masks[name].view(broad) if name in self._masks else x
            for name, x in zip(node.inputs, below, strict=True)
        ]
