"""An auxiliary head: a second readout in the middle of a deep network, for as long as it learns.

    loss = loss(readout's currents) + weight * loss(head's currents)

Where a space has a place for one (DARTS: after two thirds of the cells; Szegedy et al. 2015, Liu et al. 2019), spikes
are averaged to a grid of 2x2 and go into a linear layer that learns by its own loss, as the readout does. It has no
hidden layer, which would need a rule. Its error goes down by the readout's own transport, past the layers between the
two: the layers below get a transported error of the kind that they get anyway, so that shares and locality are those
of the network without it. Where the readout sends nothing down, or nobody below listens, there is no head. It is no
part of the network: evaluation, export and energy never see it, and its weights are counted nowhere.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from rules.layer import Layer
from snn_nas import spaces
from snn_nas.graph import Synapse
from snn_nas.network import Network, draw_synapse

GRID = 2


class Auxiliary(nn.Module):
    """A head on the output of the node `place`, of shape `(C, H, W)`; make one with `build`."""

    def __init__(self, network: Network, place: str) -> None:
        super().__init__()
        self.place = place
        graph = network.graph
        channels, *sides = graph[place].shape
        self.grid = (min(GRID, sides[0]), min(GRID, sides[1]))
        self.layer = Layer(
            draw_synapse(Synapse("linear", channels * math.prod(self.grid), graph.classes), bias=True),
            None,
            graph.nodes[-1].pair,
            shape=(graph.classes,),
            T=graph.T,
            receives=False,
            classes=graph.classes,
        )

    def forward(self, spikes: Tensor) -> Tensor:
        """Currents `[T, B, classes]` of `[T, B, C, H, W]`."""
        pooled = F.adaptive_avg_pool2d(spikes.flatten(0, 1), self.grid)
        currents: Tensor = self.layer(pooled.view(*spikes.shape[:2], -1))
        return currents


def build(network: Network) -> Auxiliary | None:
    """The head that the network's space has for it, its weights drawn from torch's global generator; or None.

    Networks that train step by step have none.
    """
    if network.genotype is None or network.online or network.graph.nodes[-1].transport == "none":
        return None
    place = spaces.auxiliary(network.genotype)
    return None if place is None or place not in network.credit.receives else Auxiliary(network, place)
