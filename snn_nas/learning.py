"""One batch: one forward, one backward from every place where an error enters."""

from __future__ import annotations

import torch
from torch import Tensor

from rules.rule import Signals, cross_entropy
from snn_nas import online
from snn_nas.auxiliary import Auxiliary
from snn_nas.network import Network
from snn_nas.training_settings import Training


def mixed(precision: str, device: torch.device | str) -> torch.autocast:
    """Synaptic products in `precision`; norms, potentials and losses stay in float32."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")


def learn(
    network: Network, images: Tensor, labels: Tensor, training: Training, head: Auxiliary | None = None
) -> Tensor:
    """One batch: fill every layer's gradients. Returns the readout's loss, detached.

    All errors enter one backward pass: the loss at the readout, and beside it what the rules add. A network that is
    `online` takes one for each step.

    Args:
        network: in training mode.
        images: `[B, C, H, W]`, or recordings `[T, B, C, H, W]`.
        labels: class indices `[B]`, or where samples are mixed the classes' shares `[B, classes]`.
        training: the loss, its smoothing, the precision.
        head: an auxiliary one, whose loss is added.
    """
    if network.online:
        autocast = mixed(training.precision, images.device)
        return online.learn(
            network,
            images,
            labels,
            label_smoothing=training.label_smoothing,
            each_step=training.loss == "tet",
            autocast=autocast,
        )
    aside = {} if head is None else {head.place: images}
    with mixed(training.precision, images.device):
        currents = network(images, aside=aside)
        second = None if head is None else head(aside[head.place])
    loss = whole = loss_of(currents, labels, training)
    if second is not None:
        whole = loss + training.auxiliary * loss_of(second, labels, training)
    signals = Signals.of(currents, labels, training.label_smoothing, each_step=training.loss == "tet")
    roots = [(whole, None), *network.roots(signals)]
    torch.autograd.backward([t for t, _ in roots], [g for _, g in roots])
    return loss.detach()


def loss_of(currents: Tensor, labels: Tensor, training: Training) -> Tensor:
    """Cross-entropy of the mean over time, or the mean over time of every step's (temporal efficient training).

    Currents are `[T, B, classes]`; labels `[B]`, or of mixed samples the classes' shares `[B, classes]`.
    """
    logits = currents.flatten(0, 1) if training.loss == "tet" else currents.mean(0)
    return cross_entropy(logits, labels, training.label_smoothing)
