"""A child starts from its parent's weights wherever a layer is unchanged.

Unchanged is a layer of the same name, whose synapse has the same shape, whose rule (update, transport, settings) is the
same and whose neurons are: it takes over everything that it has learned, weights, norm and its running statistics,
neuron parameters, thresholds, heads, and the feedback tensors that its weights have aligned with. Every other layer is
as a fresh start would draw it. T, the depth above and what lies between the layers may differ.
"""

from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from neurons.errors import UserError
from snn_nas.graph import Node
from snn_nas.network import Network

log = logging.getLogger(__name__)


def inherit(network: Network, parent: Network) -> list[str]:
    """Let a freshly built network take over from its parent; the names of the layers that did."""
    theirs = {node.name: node for node in parent.graph.layers}
    found = []
    for node in network.graph.layers:
        if node.name not in theirs or _layer(theirs[node.name]) != _layer(node):
            continue
        ours, state = network.layers[node.name], parent.layers[node.name].state_dict()
        if _shapes(ours) == _shapes(parent.layers[node.name]):  # a head's, say, depends on the map above
            ours.load_state_dict(state)
            found.append(node.name)
    return found


class Start:
    """What a network starts from: a file that `export.weights.save` wrote, or nothing.

    Attributes:
        parent: the digest of the network in the file; "" if nothing came of it.
        share: the part of its synaptic weights that the child took over.
    """

    def __init__(self, file: str | Path | None) -> None:
        self.file, self.parent, self.share = file, "", 0.0

    def __call__(self, network: Network) -> None:
        """Let a freshly built network take over. Random numbers are left alone.

        A file that is missing or damaged is no reason to lose a trial: it then starts afresh, and the log says so.
        """
        if self.file is None:
            return
        from snn_nas.export import weights

        try:
            parent = weights.load(self.file)
        except UserError as error:
            log.warning("Trained from scratch: %s", error)
            return
        assert parent.genotype is not None
        taken = set(inherit(network, parent))
        layers = {node.name: node.synapse.weights for node in network.graph.layers if node.synapse is not None}
        self.parent = parent.genotype.digest
        self.share = sum(count for name, count in layers.items() if name in taken) / sum(layers.values())


def keep(network: Network, file: str | Path) -> None:
    """Write the weights of a trained network for its children; a full disk is no reason to lose the trial."""
    from snn_nas.export import weights

    try:
        weights.save(network, file)
    except UserError as error:
        log.warning("The weights are not kept: %s", error)


def _layer(node: Node) -> tuple[object, ...]:
    """What makes a layer the same in two networks."""
    return node.synapse, node.shape, node.rule, node.pair, node.neuron


def _shapes(layer: nn.Module) -> dict[str, object]:
    return {name: tensor.shape for name, tensor in layer.state_dict().items()}
