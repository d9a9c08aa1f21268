"""Rules that get a signal from the output straight, through no layer in between.

    dfa     delta_l =  (B_l e) * f'(a_l),   e = dL/dlogits              Nøkland 2016
    drtp    delta_l = -(B_l y) * f'(a_l),   y the one-hot target        Frenkel, Lefebvre and Bol 2021, section 2

B_l is fixed and random, one column a class. The signal is entered at the layer's spikes, and goes from there through
the neurons' surrogate and time to the weights; it ends at the layer's input. Direct random target projection leaves
out the output's state altogether: the sign is that of the error at the target's own class.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rules.layer import Layer
from rules.rule import Root, Rule, Signals


class DirectFeedback(Rule):
    """Direct feedback alignment."""

    reads = True
    matrix: Tensor
    """`[classes, neurons]`."""

    def attach(self, layer: Layer, classes: int) -> None:
        """Draw B of unit gain: each neuron gets an error as large as the output's."""
        self.register_buffer("matrix", torch.randn(classes, math.prod(layer.shape)) / classes**0.5)

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Enter the error, spread evenly over the time steps as the mean over time does."""
        assert layer.record is not None
        spikes = layer.record.output
        return [(spikes, self.project(self.sent(signals), spikes))]

    def sent(self, signals: Signals) -> Tensor:
        """What the output sends, `[B, classes]`."""
        return signals.error

    def project(self, error: Tensor, spikes: Tensor) -> Tensor:
        """`[B, classes]` to the shape of the spikes, `[T, B, ...]`."""
        down = (error @ self.matrix).view(spikes.shape[1:]) / spikes.shape[0]
        return down.to(spikes.dtype).expand_as(spikes)


class TargetProjection(DirectFeedback):
    """Direct random target projection."""

    def sent(self, signals: Signals) -> Tensor:
        """The target instead of the error; nothing of what the network put out."""
        target = torch.nn.functional.one_hot(signals.labels, signals.error.shape[1])
        return -target.to(signals.error) / len(signals.labels)
