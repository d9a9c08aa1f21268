"""From genes to the nodes of a graph, whatever the topology."""

from __future__ import annotations

from collections.abc import Sequence

from neurons import registry as neurons
from neurons.errors import UserError
from snn_nas.genotype import Gene, Term
from snn_nas.graph import Node, Op, Synapse, pooled, size
from snn_nas.spaces import effect
from snn_nas.spaces.genes import pair_of


class Builder:
    """Collects a graph's nodes; every layer is made from a gene, whose index it bears."""

    def __init__(self, shape: tuple[int, int, int], encoding: str) -> None:
        channels = shape[0] * neurons.encoding(encoding).channel_factor
        self.nodes = [Node("input", "input", (), (channels, *shape[1:]), encoding=encoding)]
        self.shapes = {"input": self.nodes[0].shape}

    def add(self, node: Node) -> str:
        """Append a node; its name."""
        self.nodes.append(node)
        self.shapes[node.name] = node.shape
        return node.name

    def layer(self, name: str, gene: Gene, index: int, synapse: Synapse, source: str, *shortcuts: str) -> str:
        """Append a synapse with its rule and neurons."""
        rule = pair_of(gene)
        assert gene.rule is not None
        use = Term(rule.declaration.name, gene.rule.settings)
        try:
            shape = synapse.out_shape(self.shapes[source])
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        inputs = (source, *shortcuts)
        return self.add(Node(name, "layer", inputs, shape, synapse, use, rule.transport, gene.neuron, gene=index))

    def pool(self, name: str, op: Op, source: str, index: int, kernel: int, stride: int = 0, padding: int = 0) -> str:
        """Append a pool; its stride is its kernel unless given."""
        shape = pooled(self.shapes[source], kernel, stride, padding)
        return self.add(Node(name, op, (source,), shape, kernel=kernel, stride=stride, padding=padding, gene=index))

    def flatten(self, name: str, source: str, index: int) -> str:
        """Make an image a vector; what is one already stays."""
        shape = self.shapes[source]
        return source if len(shape) == 1 else self.add(Node(name, "flatten", (source,), (size(shape),), gene=index))

    def shift(self, name: str, source: str, index: int) -> str:
        """Move an image up and left by one pixel."""
        return self.add(Node(name, "shift", (source,), self.shapes[source], gene=index))

    def total(self, name: str, sources: Sequence[str]) -> str:
        """The sum of these nodes; of one, that node itself."""
        if len(sources) == 1:
            return sources[0]
        return self.add(Node(name, "add", tuple(sources), self.shapes[sources[0]]))

    def concat(self, name: str, sources: Sequence[str]) -> str:
        """The channels of these nodes, one after the other; of one, that node itself."""
        if len(sources) == 1:
            return sources[0]
        channels = sum(self.shapes[source][0] for source in sources)
        return self.add(Node(name, "concat", tuple(sources), (channels, *self.shapes[sources[0]][1:])))

    def readout(self, gene: Gene, index: int, source: str, grid: int, classes: int, name: str = "readout") -> str:
        """Average to a grid, flatten, and append the linear layer whose current is the output."""
        kernel = effect.window(self.shapes[source][1:], grid)
        if kernel > 1:
            source = self.pool(f"{name}_pool", "avgpool", source, index, kernel)
        source = self.flatten(f"{name}_flatten", source, index)
        return self.layer(name, gene, index, Synapse("linear", self.shapes[source][0], classes), source)
