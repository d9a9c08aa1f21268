"""e-prop: an eligibility trace at each synapse, times a learning signal at each neuron (Bellec et al. 2020).

    dL/dW_ji = sum_t L_j[t] psi_j[t] eps_ji[t],     eps_ji[t] = decay eps_ji[t-1] + gain x_i[t]

x is the synapse's input, decay and gain the membrane's, psi the surrogate at the neuron's distance to threshold and
L[t] = B e[t] the error that is known at step t, sent straight to the neuron. B learns as a readout of the layer would
(`rules.broadcast`), or stays random. Nothing in it waits for a later step. An adaptive threshold a[t+1] = rho a[t] +
s[t] adds the slow component of Bellec's equation 24:

    e_ji[t] = psi_j[t] (eps_i[t] - beta eps_a_ji[t]),   eps_a_ji[t+1] = rho eps_a_ji[t] + e_ji[t]

In a network that runs layer by layer, a sample's steps are done together: eps does not depend on j, so the sum is one
convolution weight gradient, and eps_a, linear in eps, is summed from the other end of time; the result is the same sum.
Step by step, `Layer.step` keeps eps, one number for each input, and one for each normed current; memory is flat in T.
eps_a would take one for each synapse and sample, so that a layer of adaptive neurons learns layer by layer.

Without adaptation, with soft and detached reset, it is the gradient through time of this layer. Under hard reset it is
not, because the trace does not know of the reset: `rules.ottt` has the figures. A norm's backward step, per channel,
comes between the membrane and the synapse; its scale and shift learn as weights do, by the traces of what they are
multiplied by, which are the normed current and 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from neurons.population import Population
from rules.broadcast import Broadcast
from rules.layer import Layer, Record
from rules.rule import Root, Signals
from rules.synapse import channel_mean, channel_sum, correlate, per_channel


class EProp(Broadcast):
    """e-prop with a broadcast that learns (Bellec's "adaptive e-prop"), or stays random ("random e-prop")."""

    reads = "all"
    traced = True

    def online(self, layer: Layer) -> bool:
        """See `Rule.online`; not with adaptive neurons, whose eligibility is each synapse's own."""
        return layer.population is not None and layer.population.name != "alif"

    def step(self, layer: Layer, error: Tensor) -> list[Root]:
        """Enter the learning signal B e[t] at this step's spikes; `Layer.step` takes it to the trace."""
        assert layer.record is not None
        spikes = layer.record.output
        self.correlate(error, spikes)
        return [(spikes, self.carry(error, spikes))]

    @torch.no_grad()
    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Write the sum of eligibility times learning signal."""
        assert layer.record is not None
        assert layer.population is not None
        record, neurons = layer.record, layer.population
        assert record.normed is not None
        errors = signals.errors()
        self.correlate(errors.flatten(0, 1), record.output.flatten(0, 1))
        error = signal_at_membrane(neurons, slopes(neurons, record), self.carry(errors, record.output))
        # sum_t error[t] eps[t] = sum_t error[t] (K x)[t] = sum_s (K^T error)[s] x[s], and K^T error is at the current
        trace = membrane_trace(neurons, len(error), error)
        if record.static:
            at_current = torch.tensordot(trace.sum(1), error, 1)
            pre, normed = record.input, record.normed
        else:
            at_current = (trace.T @ error.flatten(1)).view_as(error).flatten(0, 1)
            pre, normed = record.input.flatten(0, 1), record.normed.flatten(0, 1)
        layer.synapse.weight.grad = correlate(layer.synapse, pre, through_norm(layer.norm, at_current, normed))
        return []


def slopes(neurons: Population, record: Record) -> Tensor:
    """The surrogate at each neuron and step, `[T, B, ...]`: the neurons are run again, step by step."""
    assert record.current is not None
    state, found = None, []
    for t in range(len(record.output)):
        _, state = neurons.advance(record.current if record.static else record.current[t], state)
        found.append(neurons.dynamics.surrogate.derivative(state.u))
    return torch.stack(found)


def signal_at_membrane(neurons: Population, psi: Tensor, signal: Tensor) -> Tensor:
    """What multiplies eps at each step: psi L, less what the spike costs later by raising an adaptive threshold."""
    if neurons.name != "alif":
        return psi * signal
    rho, beta = neurons.dynamics.rho, neurons.dynamics.beta
    later = torch.zeros_like(signal[0])  # dL/da[t+1]
    found = torch.empty_like(signal)
    for t in reversed(range(len(signal))):
        found[t] = psi[t] * (signal[t] + later)
        later = rho * later - beta * found[t]
    return found


def membrane_trace(neurons: Population, T: int, like: Tensor) -> Tensor:
    """K `[T, T]`, with eps = K x: the membrane's response at the row's step to an input at the column's."""
    step = torch.arange(T, dtype=torch.float64, device=like.device)
    gap = step.unsqueeze(1) - step
    decay, gain = (each.double() if isinstance(each, Tensor) else each for each in (neurons.decay, neurons.gain))
    return torch.where(gap >= 0, gain * decay ** gap.clamp_min(0), 0.0).to(like)


def through_norm(norm: nn.Module, error: Tensor, normed: Tensor) -> Tensor:
    """An error at a batch norm's output `normed` `[N, C, ...]`, taken to its input; the gain is the running one.

    What a channel's mean and spread take from the error is local to the channel. Without it all weights turn to the
    mean input, in which the norm leaves nothing to learn. The gradients of the norm's own scale and shift are written.
    """
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        return error
    assert norm.running_var is not None
    smallest = torch.finfo(norm.weight.dtype).eps
    scale = norm.weight.where(norm.weight.abs() > smallest, smallest)  # of a channel without one nothing can be undone
    unscaled = (normed - per_channel(norm.bias, normed, 1)) / per_channel(scale, normed, 1)
    norm.weight.grad, norm.bias.grad = channel_sum(error * unscaled), channel_sum(error)
    if norm.training:
        along = per_channel(channel_mean(error * unscaled), error, 1)
        error = error - per_channel(channel_mean(error), error, 1) - unscaled * along
    return error * per_channel(norm.weight * (norm.running_var + norm.eps).rsqrt(), error, 1)
