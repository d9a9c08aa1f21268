"""SoftHebb: soft winner-take-all Hebbian learning with anti-Hebbian losers (Journé et al. 2023; Moraitis et al. 2022).

    dW_ki = z_k (x_i - u_k W_ki),     y = softmax(h / temperature),     z_k = y_k for the winner, -y_k for the losers

x is the pre-synaptic rate (spikes averaged over time), u = W x the drive, h the mean current that the neurons got (the
drive after its norm, as the authors normalise theirs), y the probability that neuron k is the one that fires in a
winner-take-all circuit of stochastic spiking neurons (Nessler et al. 2013). Summed over positions and images it is one
convolution weight gradient of the time average, so that it costs 1 / T of a backward pass.

Like every Hebbian rule it wants uncorrelated inputs and neurons that all take part: see `rules.stdp`, whose
`decorrelate`, conscience, turn by one learning rate and unit norm it shares. The last two stand in the place of the
authors' division by a batch's largest change and of their learning rate per neuron, |norm(W_k) - 1|^p.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from rules.layer import Layer
from rules.rule import Root, Signals
from rules.stdp import Competitive
from rules.synapse import Synapse, channel_mean, correlate, per_channel


class SoftHebb(Competitive):
    """Soft competition of rates."""

    @torch.no_grad()
    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Write the change of this batch."""
        assert layer.record is not None
        won = self.compete(layer.record)
        y = (layer.record.mean_current / float(self.settings["temperature"])).softmax(1)
        rate = layer.record.mean_input
        centred = rate - per_channel(channel_mean(rate), rate, 1)
        change = soft_change(layer.synapse, centred, torch.where(won > 0, y, -y), self.decorrelated)
        self.turn(layer, change)
        return []


def soft_change(
    synapse: Synapse, x: Tensor, z: Tensor, decorrelated: Callable[[Tensor], Tensor] = lambda change: change
) -> Tensor:
    """`sum over n and positions of z_k (x' - u'_k W_k)`, in the weight's shape; x' is x decorrelated, and u' = W x'.

    The second term needs no u': `sum z_k u'_k` is W's product with the first. Where W has norm 1 it takes away what
    would only lengthen W.

    Args:
        synapse: the weights W.
        x: rates `[N, C, ...]`.
        z: `[N, C', ...]`, the neurons' signed parts in the competition.
        decorrelated: takes what was learned of x, in the weight's shape, to what is learned of x'.
    """
    hebb = decorrelated(correlate(synapse, x, z))
    forgotten = (hebb * synapse.weight).flatten(1).sum(1)
    return hebb - per_channel(forgotten, hebb) * synapse.weight
