"""`torch.compile` for a network's layers: norm, neurons and all steps of a layer in few kernels.

Neurons run as the plain loop then, which the compiler can see into, in the place of our own kernels. Gradients are the
same up to rounding. It takes up to a minute for each kind of layer, at the first batch, which only a long training on a
GPU could earn back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rules.layer import Layer
from snn_nas.network import Network

FORMS = 4
"""A layer is compiled for training and for evaluation, each on a whole batch and on what is left for the last one."""


class Compiled:
    """What a network's `call` is, to run its layers compiled; `release` gives the neurons their own backend again."""

    def __init__(self, network: Network) -> None:
        layers = list(network)
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, FORMS * len(layers))
        self._compiled = {layer: torch.compile(layer, dynamic=False) for layer in layers}
        self._requested = [(layer.population, layer.population.requested) for layer in layers if layer.population]
        for population, _ in self._requested:
            population.requested = "plain"

    def __call__(self, layer: Layer, *below: Tensor, static: bool) -> Tensor:
        """Run one layer."""
        out: Tensor = self._compiled[layer](*below, static=static)
        return out

    def release(self) -> None:
        """The training is over."""
        for population, requested in self._requested:
            population.requested = requested
