"""Reward-modulated STDP: neurons stand for classes, and what they learn from a sample is multiplied by a reward.

    dw = r dw_stdp,    r = 1 - h              where the neuron that won stands for the sample's class
                       r = -punishment h      where it stands for another one

dw_stdp is the sum over spike pairs of `rules.stdp`, and h the share of the last batch's decisions that were right: the
better the neurons decide, the less a reward teaches and the more a punishment (Mozafari et al. 2019, whose rates adapt
by the shares of misses and hits). Neurons are assigned to the classes in turn.

Theirs is the last layer of a network and has one winner an image, whose class is the network's decision. Here it may
be any layer, and a neuron that wins a position of the image (`rules.stdp`, competition) decides for its class there. So
the reward needs the label and this layer's spikes, and nothing of the layers above. Theirs also starts from features
that unsupervised STDP has learned; here one rule does both, and `punishment` is small, so that neurons are drawn to
what they win more than they are driven from it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rules import across
from rules.layer import Layer
from rules.rule import Root, Signals
from rules.stdp import STDP


class RSTDP(STDP):
    """Competitive pair-based STDP times reward."""

    hits: Tensor
    """Scalar, the share of the last batch's decisions that were right."""

    def attach(self, layer: Layer, classes: int) -> None:
        """Start from chance."""
        super().attach(layer, classes)
        self.register_buffer("hits", torch.tensor(1.0 / classes))

    @torch.no_grad()
    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Write the change of this batch, and count its hits for the next one."""
        assert layer.record is not None
        won = self.compete(layer.record)
        right = assignment(won, signals.error.shape[1]) == signals.labels.unsqueeze(1)
        right = right.view(*right.shape, *[1] * (won.dim() - 2))
        reward = torch.where(right, 1.0 - self.hits, -float(self.settings["punishment"]) * self.hits)
        change = self.change(layer.synapse, layer.record, won * reward)
        self.turn(layer, self.decorrelated(change))
        self.hits.copy_(across.mean((won * right).sum()) / across.mean(won.sum()))
        return []


def assignment(neurons: Tensor, classes: int) -> Tensor:
    """`[C]`, the class that each neuron of `[B, C, ...]` stands for."""
    return torch.arange(neurons.shape[1], device=neurons.device) % classes
