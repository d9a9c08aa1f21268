"""Credit: which error reaches each layer, by which transports, and whether the network can learn at all.

Going down from the readout, every layer hands on the error that arrived, changed by its own transport. A layer that
needs a transported error must lie on a path to the loss on which every layer transports it. A transport that no layer
below needs is canonically `none`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from neurons.errors import UserError
from snn_nas.graph import Graph, Node

Share = Literal["bp", "aligned", "broadcast", "local", "unsupervised", "frozen"]
SHARES: tuple[Share, ...] = ("bp", "aligned", "broadcast", "local", "unsupervised", "frozen")


class CreditError(UserError):
    """A layer needs an error that cannot reach it. `layer` is its name."""

    def __init__(self, layer: str, message: str) -> None:
        super().__init__(message)
        self.layer = layer


@dataclass(frozen=True)
class Credit:
    """Who learns from what.

    Attributes:
        graph: the graph with every unneeded transport set to `none`.
        receives: the layers whose output takes an error from above; all others are cut off from it.
        random: the layers that learn from an error that a fixed random matrix has carried somewhere above.
        share: for each layer, how its weights count.
    """

    graph: Graph
    receives: frozenset[str]
    random: frozenset[str]
    share: Mapping[str, Share]

    @property
    def shares(self) -> dict[Share, float]:
        """The part of all synaptic weights in each class; sums to 1."""
        counts: dict[Share, float] = dict.fromkeys(SHARES, 0.0)
        for node in self.graph.layers:
            assert node.synapse is not None
            counts[self.share[node.name]] += node.synapse.weights
        return {share: count / self.graph.weights for share, count in counts.items()}

    @property
    def locality(self) -> float:
        """The part of the learning weights that learns without a transported error; frozen ones are not counted."""
        shares = self.shares
        learning = 1.0 - shares["frozen"]
        if learning <= 0.0:
            return 1.0
        return (shares["broadcast"] + shares["local"] + shares["unsupervised"]) / learning


def check(graph: Graph) -> Credit:
    """Follow the error through the network.

    Raises:
        CreditError: a layer that needs a transported error gets none; the message names it and what cuts it off.
    """
    written = graph
    graph, wants = _prune(graph)
    arriving: dict[str, Share] = {graph.nodes[-1].name: "bp"}  # the loss stands on the last node
    cut: dict[str, Node] = {}  # for each node without error, the layer that stops it
    share: dict[str, Share] = {}
    strayed: set[str] = set()  # who gets an error that went through `fa`
    for node in reversed(graph.nodes):
        here = arriving.get(node.name)
        if node.op == "layer":
            share[node.name] = _share(written[node.name], here, cut.get(node.name))
        down = _passed(node, here)
        for name in node.inputs:
            if down is None:
                stops = node.op == "layer" and (node.transport == "none" or node.name not in cut)
                cut.setdefault(name, node if stops else cut[node.name])
            elif arriving.get(name) != "aligned":
                arriving[name] = down
        if down is not None and (node.transport == "fa" or node.name in strayed):
            strayed.update(node.inputs)
    random = {node.name for node in graph.layers if node.name in strayed and not node.readout and _needs(node)}
    return Credit(graph, frozenset(wants), frozenset(random), share)


def _prune(graph: Graph) -> tuple[Graph, set[str]]:
    """Set transports that nothing below needs to `none`, and say whose output wants an error."""
    wants: set[str] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        below = any(name in wants for name in node.inputs)
        if node.op == "layer":
            pruned = node if below else replace(node, transport="none")
            if not node.readout and (_needs(node) or pruned.transport != "none"):
                wants.add(node.name)
            nodes.append(pruned)
            continue
        if below:
            wants.add(node.name)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes)), wants


def _needs(node: Node) -> bool:
    return node.pair.declaration.error == "transported"


def _passed(node: Node, arriving: Share | None) -> Share | None:
    """The error that a node hands to its inputs."""
    if node.op != "layer":
        return arriving
    if node.transport == "none" or (arriving is None and not node.readout):
        return None
    return "bp" if node.transport == "exact" and arriving in (None, "bp") else "aligned"


def _share(node: Node, arriving: Share | None, cut: Node | None) -> Share:
    declaration = node.pair.declaration
    if not declaration.learns:
        return "frozen"
    match declaration.error:
        case "none":
            return "unsupervised"
        case "local":
            return "local"
        case "broadcast":
            return "broadcast"
    if arriving is None:
        by = f"{cut.name} ({cut.pair.name})" if cut is not None else "the layers above"
        raise CreditError(
            node.name,
            f"{node.name} ({node.pair.name}) gets no error: {by} above it sends none on; give {node.name} a rule that "
            f"needs no transported error, or let every layer above it transport one",
        )
    return arriving
