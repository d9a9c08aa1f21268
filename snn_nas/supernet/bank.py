"""Shared weights: a bank of layers, lent to one network at a time.

A layer is known by where it stands (its name in the graph), its operation (the synapse's geometry, and whether input
spikes are added), the shape of its output, its neurons, T, and its rule: update, settings and transport. Networks that
agree in all of these share the whole layer, with its norm, its feedback and its optimiser's state; networks that differ
in one, a rule say, share nothing there. A transport that nothing below needs is none (see `credit`), so there all
transports are one layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rules.layer import Layer
from rules.rule import Rule
from rules.synapse import Synapse
from snn_nas import spaces
from snn_nas.data import Dataset
from snn_nas.genotype import Genotype, Term
from snn_nas.graph import Node
from snn_nas.graph import Synapse as Geometry
from snn_nas.learning import learn
from snn_nas.network import Network
from snn_nas.optimisers import Optimisers
from snn_nas.supernet.evolve import Score
from snn_nas.training import fit_encoding
from snn_nas.training_settings import Training


class Key(NamedTuple):
    """What a layer is known by; two layers with the same key are one."""

    place: str
    synapse: Geometry
    skips: bool
    shape: tuple[int, ...]
    rule: Term
    transport: str
    neuron: Term | None
    T: int

    @classmethod
    def of(cls, node: Node, T: int) -> Key:
        """The key of a weight-bearing node."""
        assert node.synapse is not None
        assert node.rule is not None
        return cls(node.name, node.synapse, len(node.inputs) > 1, node.shape, node.rule, node.transport, node.neuron, T)


class Borrowed(Network):
    """A network whose layers are a bank's."""

    def __init__(self, bank: Bank, genotype: Genotype) -> None:
        self.bank = bank
        graph = spaces.graph(genotype, bank.data.shape, bank.data.classes)
        super().__init__(graph, normalise=bank.data.normalise, backend=bank.backend, genotype=genotype)

    def _layer(self, node: Node, synapse: Synapse, backend: str) -> Layer:
        key = Key.of(node, self.graph.T)
        if key not in self.bank.layers:
            self.bank.layers[key] = super()._layer(node, synapse, backend).to(self.bank.device)
        return self.bank.layers[key]


class Bank:
    """The shared weights of all networks of a space.

    Args:
        data: what they learn from and are scored on.
        training: batch size, rates, loss and augmentation.
        steps: batches that will be learned in all: what schedules are measured by.
        device: where the layers lie.
        backend: of the populations.
    """

    def __init__(
        self, data: Dataset, training: Training, steps: int, device: str = "cpu", backend: str = "auto"
    ) -> None:
        self.data, self.training, self.steps = data, training, steps
        self.device, self.backend = device, backend
        self.layers: dict[Key, Layer] = {}
        self._optimisers: dict[Layer, Optimisers] = {}
        self._networks: dict[str, Borrowed] = {}
        self._encodings: dict[tuple[str, int], nn.Module] = {}

    def network(self, genotype: Genotype) -> Borrowed:
        """The network of a genotype on shared weights; layers that are new are drawn."""
        if genotype.digest not in self._networks:
            made = Borrowed(self, genotype).to(self.device)
            code = made.graph.nodes[0].encoding, made.graph.T
            if code not in self._encodings:
                fit_encoding(made, self.data.train)
                self._encodings[code] = made.encoding
            made.encoding = self._encodings[code]  # type: ignore[assignment]
            self._networks[genotype.digest] = made
        return self._networks[genotype.digest]

    def learn(self, genotype: Genotype, images: Tensor, labels: Tensor) -> Tensor:
        """One batch through one network: each layer learns by its own rule. The loss, `[]`.

        Rules that would learn layer by layer before the others (STDP, SoftHebb) take part in each batch instead: what
        lies below them is still changing, but there is no time to wait for it.
        """
        network = self.network(genotype)
        network.train()
        self._prepare(network, images)
        loss = learn(network, images, labels, self.training)
        for layer in network:
            self._optimisers[layer].step()
        return loss

    @torch.no_grad()
    def score(self, genotype: Genotype, images: Tensor, labels: Tensor) -> Score:
        """Loss and accuracy of a network on held-out images, by the statistics of these images.

        A norm that many networks share has running statistics that are right for none of them.
        """
        network = self.network(genotype)
        network.eval()
        with batch_statistics(network), torch.random.fork_rng():
            torch.manual_seed(0)  # random codes are drawn alike each time
            logits = network(images).mean(0)
        return Score(float(F.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean()))

    def _prepare(self, network: Borrowed, images: Tensor) -> None:
        """Let rules see their input, and make optimisers, for layers that are used for the first time."""
        new = [layer for layer in network if layer not in self._optimisers]
        prepare(network, new, images)
        for layer in new:
            self._optimisers[layer] = Optimisers([layer], self.training, self.steps)


def prepare(network: Network, layers: Iterable[Layer], images: Tensor) -> None:
    """Call `prepare` of these layers' rules, if they have one, with their inputs in one forward pass."""
    seen: dict[Layer, Tensor] = {}
    wanting = [layer for layer in layers if type(layer.rule).prepare is not Rule.prepare]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs: seen.__setitem__(layer, inputs[0])) for layer in wanting
    ]
    if wanting:
        with torch.no_grad():
            network(images)
    for hook in hooks:
        hook.remove()
    for layer in wanting:
        layer.rule.prepare(layer, iter([seen[layer]]))


@contextmanager
def batch_statistics(network: Network) -> Iterator[None]:
    """Every norm takes the statistics of the batch that it sees, and remembers nothing of it."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
