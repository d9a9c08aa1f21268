"""Spike-timing-dependent plasticity with what makes it learn: competition, homeostasis, normalisation.

For every pair of a pre-synaptic spike at s and a post-synaptic spike at t, with gap d = t - s,

    dw = a_plus  * decay^d      d >= 0     the input helped to cause the spike
    dw = -a_minus * decay^(-d)  d < 0      it came too late                                  decay = 1 - 1 / tau

Weights are held over the sequence, so the sum over pairs is linear in the input: with K[t, s] the weight of a pair,
sum_t post[t] (K pre)[t] is *one* convolution weight gradient, time folded into the batch. The multiplicative form,
(1 - w) for the first line and (1 + w) for the second, takes two.

A static input is a current that was there before the first step and goes on after the last, so its trace is at its
fixed point: the same pair sum with both ends of the window open.

The pair rule alone makes all neurons alike and then drowns them. It learns only with

- competition: at each position the channel with the largest mean current wins, and only its spikes count
  (Kheradpisheh et al. 2018; lateral inhibition in Diehl and Cook 2015);
- conscience: who wins more often than its share is handicapped (DeSieno 1988), so that no neuron is left out;
- centring: traces are taken relative to their channel's mean, the covariance rule (Sejnowski 1977), without which
  all weights turn to the mean input, spikes being never negative;
- normalisation: each neuron turns by the learning rate, whatever batch, image and T are, and keeps norm 1 (Oja 1982).

Together this is spherical k-means by spikes (Coates and Ng 2012), and like it wants whitened or on/off input. Where the
input is correlated (any hidden layer's is), `decorrelate` takes the synapses' inputs to equal variance first, with
statistics of `prepare`: the fixed point of anti-Hebbian inhibition between inputs (Foldiak 1990).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from rules import across
from rules.layer import Layer, Record
from rules.rule import Root, Rule, Signals
from rules.synapse import Synapse, channel_mean, correlate, per_channel, unit_norm_

BATCHES, PATCHES = 30, 16_384
"""`prepare` takes its statistics from so many batches, and of each from images that have about so many patches."""


class Competitive(Rule):
    """What unsupervised rules share: who wins, whom conscience handicaps, inputs decorrelated, weights of norm 1."""

    reads = "all"
    handicap: Tensor
    """`[C]`, by how much a channel's mean current must exceed the others' to win."""
    whitening: Tensor
    """`[F, F]`, inverse covariance of the fan-in; empty where `decorrelate` is 0."""

    def attach(self, layer: Layer, classes: int) -> None:
        """Start from unit weights and no handicap."""
        weight = layer.synapse.weight.detach()
        self.register_buffer("handicap", weight.new_zeros(len(weight)))
        self.register_buffer("whitening", torch.eye(weight[0].numel() if self.settings["decorrelate"] else 0))
        unit_norm_(weight)

    @torch.no_grad()
    def prepare(self, layer: Layer, inputs: Iterable[Tensor]) -> None:
        """Measure the covariance of the fan-in."""
        if self.whitening.numel():
            rates = (_rates(layer, x) for x in islice(inputs, BATCHES))
            spread = covariance(layer.synapse, (x[: max(1, PATCHES // x[0, :1].numel())] for x in rates))
            self.whitening.copy_(inverse(spread, float(self.settings["decorrelate"])))

    def compete(self, record: Record) -> Tensor:
        """`[B, C, ...]`, 1 where a channel wins its position; who wins often is handicapped from then on."""
        bid = record.mean_current - per_channel(self.handicap, record.mean_current, 1)
        won = (bid >= bid.amax(1, keepdim=True)).to(bid.dtype)
        share = channel_mean(won)
        self.handicap += float(self.settings["conscience"]) * (share * len(share) - 1.0)
        return won

    def decorrelated(self, change: Tensor) -> Tensor:
        """A change of the weights as it would be, seen from here, if it had been learned on decorrelated inputs."""
        return (change.flatten(1) @ self.whitening).view_as(change) if self.whitening.numel() else change

    def turn(self, layer: Layer, change: Tensor) -> None:
        """Hand a change to the optimiser: each neuron that has any turns by one learning rate."""
        change = across.mean(change)
        norm = change.flatten(1).norm(dim=1).clamp_min(torch.finfo(change.dtype).tiny)
        layer.synapse.weight.grad = -change / per_channel(norm, change)

    @torch.no_grad()
    def after_step(self, layer: Layer) -> None:
        """Back to unit norm."""
        unit_norm_(layer.synapse.weight)


class STDP(Competitive):
    """Competitive pair-based STDP."""

    @torch.no_grad()
    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Write the change of this batch."""
        assert layer.record is not None
        change = self.change(layer.synapse, layer.record, self.compete(layer.record))
        self.turn(layer, self.decorrelated(change))
        return []

    def change(self, synapse: Synapse, record: Record, gate: Tensor) -> Tensor:
        """The sum over pairs, in the weight's shape; post-synaptic spikes count where `gate` `[B, C, ...]` is 1."""
        tau, minus = float(self.settings["tau"]), float(self.settings["a_minus"])
        if self.settings["form"] == "additive":
            return pair_sum(synapse, record, gate, tau=tau, plus=1.0, minus=minus)
        weight = synapse.weight
        potentiation = pair_sum(synapse, record, gate, tau=tau, plus=1.0, minus=0.0)
        depression = pair_sum(synapse, record, gate, tau=tau, plus=0.0, minus=minus)
        return (1 - weight) * potentiation + (1 + weight) * depression


def pair_sum(synapse: Synapse, record: Record, gate: Tensor, *, tau: float, plus: float, minus: float) -> Tensor:
    """The additive rule's sum over all spike pairs, centred: one convolution weight gradient."""
    if record.static:
        decay = 1.0 - 1.0 / tau
        pre = record.input * ((plus - minus * decay) * tau)
        post = record.output.sum(0) * gate
    else:
        pairs = window(len(record.input), tau, plus, minus).to(record.input, non_blocking=True)
        pre = (pairs @ record.input.flatten(1)).view_as(record.input).flatten(0, 1)
        post = (record.output * gate).flatten(0, 1)
    return correlate(synapse, pre - per_channel(channel_mean(pre), pre, 1), post)


def window(T: int, tau: float, plus: float, minus: float) -> Tensor:
    """`[T, T]`: what a post-synaptic spike at the row's and a pre-synaptic one at the column's step weigh together."""
    step = torch.arange(T, dtype=torch.float64)
    gap = step.unsqueeze(1) - step
    decay = (1.0 - 1.0 / tau) ** gap.abs()
    return torch.where(gap >= 0, plus * decay, -minus * decay)


def _rates(layer: Layer, x: Tensor) -> Tensor:
    """A layer's input `[T, B, ...]` or static `[B, ...]`, averaged over time."""
    return x if x.dim() == len(layer.shape) + 1 else x.mean(0)


def covariance(synapse: Synapse, inputs: Iterable[Tensor]) -> Tensor:
    """`[F, F]`, of a neuron's fan-in over batches of inputs `[B, ...]`, positions and groups; float64."""
    total, seen = torch.zeros((), dtype=torch.float64), 0
    for x in inputs:
        centred = x - per_channel(channel_mean(x), x, 1)
        if isinstance(synapse, nn.Linear):
            patches = centred
        else:
            assert not isinstance(synapse.padding, str)
            unfolded = nn.functional.unfold(
                centred, synapse.kernel_size, synapse.dilation, synapse.padding, synapse.stride
            )
            patches = unfolded.transpose(1, 2).reshape(-1, synapse.weight[0].numel())
        patches = patches.double()
        total, seen = total.to(x.device) + patches.T @ patches, seen + len(patches)
    return total / seen


def inverse(spread: Tensor, ridge: float) -> Tensor:
    """The inverse of a covariance, regularised by a share of the mean variance, with a mean gain of 1."""
    eye = torch.eye(len(spread), dtype=spread.dtype, device=spread.device)
    found = torch.linalg.inv(spread + ridge * spread.diagonal().mean() * eye)
    scaled: Tensor = found / found.diagonal().mean()
    return scaled
