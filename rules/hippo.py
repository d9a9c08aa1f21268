"""Hippocampal behavioural-time-scale plasticity: one plateau rewrites, within seconds, what a neuron responds to.

    dW/dt = (W_max - W) k+ q+(ET IS) - W k- q-(ET IS)
    tau_ET dET/dt = x - ET          eligibility of a synapse: its input x, filtered
    tau_IS dIS/dt = p - IS          instructive signal of a neuron: its plateaus p, 0 or 1, filtered
    q(z) = (s(z) - s(0)) / (s(1) - s(0)),     s(z) = 1 / (1 + exp(-beta (z - alpha)))

This is the weight-dependent model by which Milstein et al. 2021 (eLife 10:e73046) explain the plasticity that Bittner
et al. 2017 found in CA1. Weak synapses grow and strong ones shrink where their input and a plateau fall within seconds
of each other, in either order. The constants are those of the authors' network model (github.com/neurosutras/BTSP,
config/simulate_biBTSP_synthetic_network_WD_D_config.yaml). They scale ET and IS to a peak of 1, over the population and
at the end of a plateau of 300 ms; here both come to 1 under a long input at full rate and a long plateau.

That `hippo` means this plasticity is our reading of one word in a summary of the paper that this project starts from;
that paper's own code has no such rule. How it becomes the rule of a layer is ours too:

- competition (`rules.stdp`): in each sample a neuron looks at the position, among those that it wins, that drives it
  most, so that its synapses see one patch a sample; where it wins none it has no plateau;
- plateaus last as long as the sample. They are set off in all winners that stand for the sample's class (`target`;
  neurons are assigned to the classes in turn), in these only if their class won the most positions (`reward`), or in
  all winners of a sample that drives the layer no more than the average one does (`novelty`);
- rates: full rate is two deviations above the mean. A spike train counts from zero, a static current, which has a
  sign, from two deviations below its mean;
- inhibition: W is excitatory, and an input is weighed by W less the mean W of the neurons that share its channel,
  decorrelated and of norm 1 (`rules.stdp`). The layer's weights follow this with the learning rate.

A batch is lived through side by side, by copies of the layer with one W, which changes at their mean rate. W, ET and IS
go on from batch to batch, ET and IS from their mean over the copies: batches of one are one life.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rules import across
from rules.layer import Layer, Record
from rules.rstdp import assignment
from rules.rule import Root, Signals
from rules.stdp import Competitive
from rules.synapse import Synapse, unit_norm_

TAU_ELIGIBILITY, TAU_INSTRUCTION = 1664.103, 437.0065
"""ms."""
W_MAX, W_START = 4.680311, 1.0
"""In units of a synapse that has never learned."""
VARIETY = 0.1
"""Standard deviation of the first W, without which all neurons would be alike."""
RESOLUTION = 200.0
"""ms: the longest step of integration, which leaves an error below 0.2 % of W_max."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`k q(z)`, in 1/s; z = ET IS is mostly below 1, and q hardly grows beyond."""

    k: float
    alpha: float
    width: float  # 2 / beta

    def mean(self, z: Tensor) -> Tensor:
        """Over the first dimension, and over processes."""
        beta = 2.0 / self.width
        start, end = (1.0 / (1.0 + math.exp(-beta * (at - self.alpha))) for at in (0.0, 1.0))
        return (across.mean(z.sub(self.alpha).mul_(beta).sigmoid_().mean(0)) - start) * (self.k / (end - start))


POTENTIATION = Rate(1.109682, 0.4150117, 0.4541096)
DEPRESSION = Rate(0.4249387, 0.02618154, 0.09977173)


class Hippo(Competitive):
    """Behavioural-time-scale plasticity under competition."""

    efficacy: Tensor
    """W, in the shape of the weight."""
    eligibility: Tensor
    """ET, in the shape of the weight."""
    instruction: Tensor
    """IS, `[C]`."""

    def attach(self, layer: Layer, classes: int) -> None:
        """Start from synapses that have hardly learned, and no traces."""
        super().attach(layer, classes)
        weight = layer.synapse.weight.detach()
        start = W_START + VARIETY * weight * weight[0].numel() ** 0.5
        self.register_buffer("efficacy", start.clamp(0.0, W_MAX))
        self.register_buffer("eligibility", torch.zeros_like(weight))
        self.register_buffer("instruction", weight.new_zeros(len(weight)))

    @torch.no_grad()
    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Live through this batch, and write how far the weights are from what W has become."""
        record, synapse = layer.record, layer.synapse
        assert record is not None
        place, plateau = self.plateaus(record, signals)
        x = rates(record)
        inputs = x.expand(len(record.output), *x.shape) if record.static else x
        lived = live(
            (self.efficacy, self.eligibility, self.instruction),
            (attended(synapse, step, place) for step in inputs),
            plateau.to(self.efficacy),
            float(self.settings["ms"]),
        )
        for state, value in zip((self.efficacy, self.eligibility, self.instruction), lived, strict=True):
            state.copy_(value)
        synapse.weight.grad = synapse.weight - self.inhibited(synapse)
        return []

    def plateaus(self, record: Record, signals: Signals) -> tuple[Tensor, Tensor]:
        """The position that each neuron looks at, as one index, and whether it has a plateau: both `[B, C]`."""
        won = self.compete(record)
        won = won.reshape(*won.shape[:2], -1)
        current = record.mean_current.reshape(won.shape)
        place = current.masked_fill(won == 0, -torch.inf).argmax(2)
        winner = won.amax(2) > 0
        if self.settings["plateau"] == "novelty":
            strength = current.amax(1).mean(1)
            return place, winner & (strength <= across.mean(strength.mean())).unsqueeze(1)
        classes = signals.error.shape[1]
        mine = assignment(won, classes)
        plateau = winner & (mine == signals.labels.unsqueeze(1))
        if self.settings["plateau"] == "reward":
            members = F.one_hot(mine, classes).to(won)
            votes = won.sum(2) @ members / members.sum(0).clamp_min(1.0)
            plateau &= (votes.argmax(1) == signals.labels).unsqueeze(1)
        return place, plateau

    def inhibited(self, synapse: Synapse) -> Tensor:
        """W less its mean over the neurons that share an input channel, decorrelated, of norm 1."""
        groups = 1 if isinstance(synapse, nn.Linear) else synapse.groups
        grouped = self.efficacy.view(groups, -1, *self.efficacy.shape[1:])
        mean = grouped.mean([1, *range(3, grouped.dim())], keepdim=True)
        weight = self.decorrelated((grouped - mean).flatten(0, 1))
        unit_norm_(weight)
        return weight


def live(
    state: tuple[Tensor, Tensor, Tensor], inputs: Iterable[Tensor], plateau: Tensor, ms: float
) -> tuple[Tensor, Tensor, Tensor]:
    """W, ET and IS after a sample: the traces are exact, W is exact for the mean rates in the middle of each step.

    Args:
        state: W and ET, `[C, ...]`, and IS, `[C]`.
        inputs: x of each time step, `[B, C, ...]`, or `[B, 1, ...]` where all neurons see the same.
        plateau: p, `[B, C]`, throughout.
        ms: milliseconds that a time step lasts.
    """
    W, ET, IS = state[0], state[1].unsqueeze(0), state[2].expand_as(plateau)
    steps = math.ceil(ms / RESOLUTION)
    dt = ms / steps
    for x in inputs:
        away = ET - x
        for k in range(steps):
            middle = (k + 0.5) * dt
            signal = follow(IS, plateau, middle, TAU_INSTRUCTION).view(*IS.shape, *[1] * (W.dim() - 1))
            overlap = torch.add(x, away, alpha=math.exp(-middle / TAU_ELIGIBILITY)).mul_(signal)
            up, down = (rate.mean(overlap) * (dt / 1000.0) for rate in (POTENTIATION, DEPRESSION))
            both = (up + down).clamp_min(torch.finfo(W.dtype).tiny)
            W = W + ((W_MAX - W) * up - W * down) * (-torch.expm1(-both) / both)
        ET, IS = follow(ET, x, ms, TAU_ELIGIBILITY), follow(IS, plateau, ms, TAU_INSTRUCTION)
    return W, across.mean(ET.mean(0)).expand_as(W), across.mean(IS.mean(0))


def follow(trace: Tensor, drive: Tensor, ms: float, tau: float) -> Tensor:
    """`tau d trace / dt = drive - trace` after some milliseconds of a constant drive."""
    return torch.lerp(trace, drive, -math.expm1(-ms / tau))


def rates(record: Record) -> Tensor:
    """The input as rates around 0 to 1, in its own shape: `[T, B, ...]`, or `[B, ...]` where it is static."""
    mean, reach = across.mean(record.mean_input.mean()), 2.0 * across.deviation(record.mean_input)
    low = mean - reach if record.static else torch.zeros_like(mean)
    scaled = (record.input - low) / (mean + reach - low).clamp_min(torch.finfo(mean.dtype).tiny)
    return scaled.clamp(0.0, 1.0) if record.static else scaled


def attended(synapse: Synapse, x: Tensor, place: Tensor) -> Tensor:
    """What each neuron's synapses see of `x` `[B, ...]` from its place: `[B, C, ...]`, in the weight's shape."""
    if isinstance(synapse, nn.Linear):
        return x.unsqueeze(1)
    assert not isinstance(synapse.padding, str)
    (stride, _), (dilation, _), (pad, _) = synapse.stride, synapse.dilation, synapse.padding
    outs, fan, height, width = synapse.weight.shape
    across = (x.shape[3] + 2 * pad - dilation * (width - 1) - 1) // stride + 1  # positions in a row
    row = (place // across * stride).unsqueeze(2) + torch.arange(height, device=x.device) * dilation
    column = (place % across * stride).unsqueeze(2) + torch.arange(width, device=x.device) * dilation
    group = torch.arange(outs, device=x.device) // (outs // synapse.groups)
    channel = (group * fan).unsqueeze(1) + torch.arange(fan, device=x.device)
    sample = torch.arange(len(x), device=x.device).view(-1, 1, 1, 1, 1)
    padded = F.pad(x, (pad, pad, pad, pad))
    return padded[sample, channel[:, :, None, None], row[:, :, None, :, None], column[:, :, None, None, :]]
