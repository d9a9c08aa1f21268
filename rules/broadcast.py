"""Rules that get a signal from the output straight, through no layer in between.

    dfa     delta_l =  (B_l e) * f'(a_l),   e = dL/dlogits              Nøkland 2016
    drtp    delta_l = -(B_l y) * f'(a_l),   y the one-hot target        Frenkel, Lefebvre and Bol 2021, section 2

B_l is random, one column a class. The signal is entered at the layer's spikes, and goes from there through the neurons'
surrogate and time to the weights; it ends at the layer's input. Logits are the currents' mean over time, so that every
step gets the same e / T; where each step has a loss of its own (`loss=tet`), dfa sends it that one's error. Direct
random target projection leaves out the output's state altogether: the sign is that of the error at the target's class.

With `feedback=learned`, B_l changes as the weights of a readout of layer l would under the error of the output,

    dB_l = -rate e s_l - decay B_l

s_l being the layer's mean spikes: Webster, Choi and Ahn 2021, direct Kolen-Pollack; Bellec et al. 2020 call it adaptive
e-prop. It takes the error and the spikes that the rule has anyway.

A convolution learns little by a B drawn for every neuron: the positions of a channel share their weights, and each is
told something else, so that what one asks for another takes back. With `feedback=shared` B is fixed, and drawn for a
channel: all its positions are told the same, as they would be by a readout of the channel's average.

Where B is fixed, weights forget over the whole training, and not over a fifth: to align with it takes time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from neurons.settings import Value
from rules import across
from rules.layer import Layer
from rules.registry import Declaration, Optimiser
from rules.rule import Root, Rule, Signals

RATE, DECAY = 0.3, 1e-3
"""Of learned feedback, in every step. It starts at a tenth of unit gain, so that what it learns soon outweighs that."""


class Broadcast(Rule):
    """A rule with a matrix that takes a signal from the output to its neurons."""

    matrix: Tensor
    """`[classes, neurons]`, or where it is shared `[classes, channels]`."""

    change: Tensor
    """Of the matrix, where it learns: what this batch's steps have come to."""

    def __init__(self, declaration: Declaration, settings: Mapping[str, Value] | None = None) -> None:
        super().__init__(declaration, settings)
        feedback = self.settings.get("feedback", "random")
        self.learned, self.shared = feedback == "learned", feedback == "shared"

    def optimiser(self, declared: Optimiser) -> Optimiser:
        """See `Rule.optimiser`: weights that are to align with a fixed matrix forget over the whole training."""
        return declared if self.learned else declared.to_align()

    def attach(self, layer: Layer, classes: int) -> None:
        """Draw B of unit gain: each neuron gets an error as large as the output's."""
        gain = 0.1 if self.learned else 1.0
        targets = layer.shape[0] if self.shared else math.prod(layer.shape)
        self.register_buffer("matrix", gain * torch.randn(classes, targets) / classes**0.5)
        if self.learned:
            self.register_buffer("change", torch.zeros_like(self.matrix), persistent=False)

    def carry(self, error: Tensor, spikes: Tensor) -> Tensor:
        """B e of errors `[..., classes]`, in the shape of as many samples' spikes, `[..., *neurons]`."""
        sent = error @ self.matrix
        if not self.shared:
            return sent.view_as(spikes)
        return sent.view(*sent.shape, *[1] * (spikes.dim() - sent.dim())).expand_as(spikes)

    @torch.no_grad()
    def correlate(self, error: Tensor, spikes: Tensor) -> None:
        """Note what B is to learn from errors `[N, classes]` and spikes `[N, ...]`, or their means over time."""
        if self.learned:
            self.change += error.to(self.change).T @ spikes.flatten(1).to(self.change)

    @torch.no_grad()
    def after_step(self, layer: Layer) -> None:
        """B changes when the weights do."""
        if self.learned:
            self.matrix.mul_(1.0 - DECAY).sub_(across.mean(self.change), alpha=RATE)
            self.change.zero_()


class DirectFeedback(Broadcast):
    """Direct feedback alignment."""

    reads = "output"

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Enter the error, dL/dcurrents through B: the same at every step, or each step's own."""
        assert layer.record is not None
        spikes, sent = layer.record.output, self.sent(signals)
        if sent.dim() == 3:
            self.correlate(sent.flatten(0, 1), spikes.flatten(0, 1))
            return [(spikes, self.carry(sent, spikes).to(spikes.dtype))]
        if self.learned:
            self.correlate(sent, spikes.mean(0))
        down = self.carry(sent, spikes[0]) / len(spikes)  # spread evenly, as the mean over time does
        return [(spikes, down.to(spikes.dtype).expand_as(spikes))]

    def sent(self, signals: Signals) -> Tensor:
        """What the output sends: one signal a sample `[B, classes]`, or one a step `[T, B, classes]`."""
        return signals.errors() if signals.each_step else signals.error


class TargetProjection(DirectFeedback):
    """Direct random target projection."""

    def sent(self, signals: Signals) -> Tensor:
        """The target instead of the error; nothing of what the network put out."""
        return -signals.target.to(signals.error) / len(signals.labels)
