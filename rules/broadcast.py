"""Rules that get the output's error straight, through no layer in between.

    delta_l = (B_l e) * f'(a_l),   e = dL/dlogits                             Nøkland 2016

B_l is fixed and random, one column a class. The error is entered at the layer's spikes, and goes from there through
the neurons' surrogate and time to the weights; it ends at the layer's input.
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

    def attach(self, layer: Layer, classes: int) -> None:
        """Draw B of unit gain: each neuron gets an error as large as the output's."""
        self.register_buffer("matrix", torch.randn(classes, math.prod(layer.shape)) / classes**0.5)

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Enter the error, spread evenly over the time steps as the mean over time does."""
        assert layer.record is not None
        spikes = layer.record.output
        return [(spikes, self.project(signals.error, spikes))]

    def project(self, error: Tensor, spikes: Tensor) -> Tensor:
        """`[B, classes]` to the shape of the spikes, `[T, B, ...]`."""
        down = (error @ self.matrix).view(spikes.shape[1:]) / spikes.shape[0]
        return down.to(spikes.dtype).expand_as(spikes)
