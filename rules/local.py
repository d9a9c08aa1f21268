"""A loss on the layer itself: a small readout of its own spikes, trained along with it.

    L_l = cross-entropy(V_l * pool(mean over time of s_l), label)

Nøkland and Eidnes 2019 (prediction loss); DECOLLE (Kaiser et al. 2020) does the same with fixed random V. The gradient
ends at the layer's input, so that no error crosses a layer. Where each step of the readout has a loss of its own
(`loss=tet`), so has each step of the head, and L_l is their mean.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from rules.layer import Layer
from rules.rule import Root, Rule, Signals


class LocalLoss(Rule):
    """A linear head on spikes averaged over time and to a grid of at most `pool` x `pool` positions."""

    reads = "output"

    def attach(self, layer: Layer, classes: int) -> None:
        """Make the head."""
        channels, *sides = layer.shape
        side = int(self.settings["pool"])
        self.grid = (min(side, sides[0]), min(side, sides[1])) if sides else None
        self.head = nn.Linear(channels * math.prod(self.grid or ()), classes)

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """The local loss; its gradient trains the layer and its head."""
        assert layer.record is not None
        spikes = layer.record.output
        seen = spikes.flatten(0, 1) if signals.each_step else spikes.mean(0)
        return [(signals.loss(self.head(self.features(seen))), None)]

    def features(self, rate: Tensor) -> Tensor:
        """`[N, ...]`, spikes or their mean over time, to `[N, features]`."""
        if self.grid is not None:
            rate = F.adaptive_avg_pool2d(rate, self.grid)
        return rate.flatten(1)
