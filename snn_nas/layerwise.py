"""Layers that learn one after the other, before there is an output: each in passes of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from rules import across
from rules.layer import Layer
from rules.rule import Signals
from snn_nas import distributed
from snn_nas.batches import batches, per_pass
from snn_nas.data import Split
from snn_nas.learning import mixed
from snn_nas.network import Network
from snn_nas.optimisers import Optimisers
from snn_nas.training_settings import Training


def train_layer(
    network: Network,
    name: str,
    split: Split,
    training: Training,
    order: torch.Generator,
    device: torch.device | str = "cpu",
) -> None:
    """Let one layer learn alone on the output of the layers below it, whose weights do not change meanwhile.

    Its rule writes its own change, from this layer alone: there is no output yet, and labels are told only to a rule
    that declares a broadcast. Layers below that learn later, or never, run as in training, so that the norms through
    which they are seen are theirs.
    """
    layer = network.layers[name]
    assert isinstance(layer, Layer)
    below = itertools.takewhile(lambda other: other != name, network.layers)
    train_mode(network, [network.layers[other] for other in below if is_layerwise(network.layers[other])])
    prepare(network, name, split, training, order, device)
    optimisers = Optimisers([layer], training, per_pass(split, training.batch_size) * training.layerwise_epochs)
    told = layer.pair.declaration.error == "broadcast"
    for _ in range(training.layerwise_epochs):
        for whole in batches(split, training.batch_size, order, device):
            images, labels = distributed.share(*whole)
            with torch.no_grad(), mixed(training.precision, device):
                network(images, until=name, through=True)
            silent = Signals.silent(len(labels), network.graph.classes, images)
            layer.rule.update(layer, replace(silent, labels=labels) if told else silent)
            optimisers.step()
    _measure_norm(network, name, split, training, order, device)


def _measure_norm(
    network: Network,
    name: str,
    split: Split,
    training: Training,
    order: torch.Generator,
    device: torch.device | str,
    most: int = 30,
) -> None:
    """Take the statistics of a finished layer's norm anew: the moving ones are still those of weights on their way."""
    layer = network.layers[name]
    assert isinstance(layer, Layer)
    norm = layer.norm
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        return
    momentum = norm.momentum
    norm.reset_running_stats()
    with across.alone():
        shown = itertools.islice(batches(split, training.batch_size, order, device), most)
        for number, (images, _) in enumerate(shown, start=1):
            norm.momentum = 1 / number  # a plain mean over the batches; None would do, but waits for the device's count
            with torch.no_grad(), mixed(training.precision, device):
                network(images, until=name, through=True)
    norm.momentum, layer.record = momentum, None


def prepare(
    network: Network,
    name: str,
    split: Split,
    training: Training,
    order: torch.Generator,
    device: torch.device | str,
) -> None:
    """Let a layer's rule take its statistics, on whole batches in every process."""
    layer = network.layers[name]
    assert isinstance(layer, Layer)
    with across.alone():
        layer.rule.prepare(layer, _inputs(network, name, split, training, order, device))


def _inputs(
    network: Network,
    name: str,
    split: Split,
    training: Training,
    order: torch.Generator,
    device: torch.device | str,
) -> Iterator[Tensor]:
    """A layer's own inputs, batch by batch; nothing is run, and nothing drawn from `order`, before they are read."""
    for images, _ in batches(split, training.batch_size, order, device):
        with torch.no_grad():
            x = network(images, until=name)
        yield x  # not from inside, or whoever reads this would lose gradients too


def is_layerwise(layer: nn.Module) -> bool:
    """Whether a layer learns before the others."""
    assert isinstance(layer, Layer)
    return layer.pair.declaration.order == "layerwise"


def train_mode(network: Network, finished: Sequence[nn.Module]) -> None:
    """Training mode, but for the layers that have learned already: their norms stay as they are."""
    network.train()
    for layer in finished:
        layer.eval()
