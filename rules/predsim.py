"""A local loss that also asks samples of one class to be alike in this layer, and those of different classes not.

    L_l = (1 - b) * L_pred + b * mean over pairs of samples i, j of (c(z_i, z_j) - c(y_i, y_j))^2

L_pred is the loss of `local`; c the correlation of two vectors, their cosine once each has lost its mean; y_i the
classes' shares in sample i; z_i the layer's rates: of a convolution every channel's standard deviation over the
positions of each of 2 x 2 windows, which says that a feature stands out there, and not where in the window. Nøkland and
Eidnes 2019, equations 1 to 4 and section 3 ("predsim"), who have one window, a convolution before it, and b = 0.99. In
short trainings with spikes the convolution and a larger b learned less; one window was better on CIFAR-10, worse than
`local` on Fashion-MNIST, whose things stand where they stand. The gradient ends at the layer's input. Pogodin and
Latham 2020 turn such a loss over pairs into a Hebbian rule of three factors.

A silent channel has no slope here: L_pred is what wakes it. Samples are compared over the whole batch, of all processes
where several learn together; rates are means over time, whatever the steps of the readout are asked.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from rules import across
from rules.layer import Layer
from rules.local import LocalLoss
from rules.rule import Root, Signals

WINDOWS = 2
TINY = 1e-8
"""Far below the variance of a window in which one neuron fired once; so that the root of none has a finite slope."""
EQUAL = 1e-5
"""Length of a vector, its mean taken off, below which its numbers count as equal: their rounding is no likeness."""


class PredictionAndSimilarity(LocalLoss):
    """`local`, and a loss on the similarity of samples that takes `similarity` of the whole."""

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Both losses as one; its gradient trains the layer and its head."""
        assert layer.record is not None
        ((prediction, _),) = super().update(layer, signals)
        share = float(self.settings["similarity"])
        rates, target = summary(layer.record.output.mean(0)), signals.target.to(prediction.dtype)
        apart = correlation(across.rows(rates)) - correlation(across.rows(target))
        return [((1.0 - share) * prediction + share * apart.square().mean(), None)]


def summary(rates: Tensor) -> Tensor:
    """`[B, C, H, W]` to `[B, features]`: deviations in windows of at least 2 x 2 positions; vectors as they are."""
    rates = rates.to(torch.promote_types(rates.dtype, torch.float32))
    windows = min(WINDOWS, *(side // 2 for side in rates.shape[2:])) if rates.dim() > 2 else 0
    if not windows:
        return rates.flatten(1)
    rates = rates - rates.mean((2, 3), keepdim=True).detach()  # no variance changes, and large numbers do not cancel
    mean, square = (F.adaptive_avg_pool2d(x, windows) for x in (rates, rates.square()))
    return ((square - mean.square()).clamp_min(0.0) + TINY).sqrt().flatten(1)


def correlation(x: Tensor) -> Tensor:
    """Of all pairs of rows of `[B, F]`, `[B, B]`. A row of equal numbers is like none, and gets no gradient."""
    x = x - x.mean(1, keepdim=True)
    length = x.norm(dim=1, keepdim=True)
    x = x / length.masked_fill(length < EQUAL, math.inf)
    with torch.autocast(x.device.type, enabled=False):
        return x @ x.T
