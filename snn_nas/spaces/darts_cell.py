"""One cell of a DARTS network: its genes checked, put in order, and expanded into a graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from neurons.errors import UserError
from neurons.settings import nearest
from snn_nas.genotype import Cell, Gene
from snn_nas.graph import Synapse
from snn_nas.spaces import genes
from snn_nas.spaces.builder import Builder
from snn_nas.spaces.darts_wiring import INPUTS, Edge, standing

SEPARABLE = {"sep3": 3, "sep5": 5}
DILATED = {"dil3": 3, "dil5": 5}
CONVS = (*SEPARABLE, *DILATED)
POOLS = ("avg", "max")
OPS = ("skip", *POOLS, *CONVS)
PRES = ("pre0", "pre1")
NODES = 4
"""Intermediate nodes of the published cell; of ours, at most."""


def bears(op: str, source: int, halves: bool) -> bool:
    """Whether an operation has weights: a skip has them where it halves the image."""
    return op in CONVS or (op == "skip" and halves and source < INPUTS)


@dataclass(frozen=True)
class Inner:
    """A cell's genes by their place: two layers before its inputs, and the edges between its nodes."""

    name: str
    halves: bool
    pre: tuple[Gene, Gene]
    edges: Mapping[Edge, Gene]

    @property
    def genes(self) -> tuple[Gene, ...]:
        """In the order in which they are written."""
        return (*self.pre, *(replace(gene, edge=edge) for edge, gene in self.edges.items()))

    def written(self) -> Cell:
        """The cell that stands for all that are isomorphic to this one."""
        bare = {edge: replace(gene, edge=None) for edge, gene in self.edges.items()}
        return Cell(replace(self, edges=standing(bare)).genes, self.name)


def read(cell: Cell, halves: bool) -> Inner:
    """A cell's genes by their place, checked.

    Raises:
        UserError: a gene that is none of a cell's, or one too many or too few; the message names its edge.
    """
    pre: dict[str, Gene] = {}
    edges: dict[Edge, Gene] = {}
    for gene in cell.genes:
        op = gene.op.name
        where = f"{cell.name}, {op}" if gene.edge is None else f"{cell.name}, edge {gene.edge[0]}>{gene.edge[1]}"
        if (op in PRES) != (gene.edge is None):
            raise UserError(f"{where}: {', '.join(PRES)} have no edge, and every other operation has one")
        if op in pre or gene.edge in edges:
            raise UserError(f"{where} is written twice")
        if op not in (*PRES, *OPS):
            raise UserError(f"{where}: unknown operation {op!r}{nearest(op, OPS)}")
        if op in PRES or bears(op, -1 if gene.edge is None else gene.edge[0], halves):
            genes.check(gene, where, {op: {}})
        else:
            genes.weightless(gene, where)
        if gene.edge is None:
            pre[op] = gene
        else:
            edges[gene.edge] = gene
    for name in PRES:
        if name not in pre:
            raise UserError(f"{cell.name} has no {name}, the layer before input {name[-1]}")
    _check_wiring(cell.name, edges)
    ordered = dict(sorted(edges.items(), key=lambda item: item[0][::-1]))
    return Inner(cell.name, halves, (pre["pre0"], pre["pre1"]), ordered)


def _check_wiring(name: str, edges: Iterable[Edge]) -> None:
    sources: dict[int, list[int]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    nodes = range(INPUTS, INPUTS + len(sources))
    if not 1 <= len(nodes) <= NODES or set(sources) != set(nodes):
        raise UserError(f"{name}: its edges end in nodes 2, 3 ... without a gap, at most {NODES} of them")
    for node in nodes:
        if len(sources[node]) != 2 or not all(0 <= source < node for source in sources[node]):
            raise UserError(f"{name}: two edges lead to node {node}, each from another node before it")


def expand(
    built: Builder,
    inner: Inner,
    label: str,
    index: Mapping[Gene, int],
    sources: tuple[str, str],
    channels: int,
    stack: int,
) -> str:
    """Append one copy of the cell; the name of its output.

    `index` numbers its genes, `sources` are the outputs of the cell before the last and of the last one, `stack` is the
    number of pairs of depthwise and pointwise layers in a separable convolution.
    """
    outputs: dict[int, str] = {}
    for number, (gene, below) in enumerate(zip(inner.pre, sources, strict=True)):
        sides = built.shapes[sources[1]][1:]
        outputs[number] = preprocess(built, f"{label}_{gene.op.name}", gene, index[gene], below, sides, channels)
    targets: dict[int, list[str]] = {}
    for gene in inner.genes[len(PRES) :]:
        assert gene.edge is not None
        source, target = gene.edge
        if source not in outputs:
            outputs[source] = built.total(f"{label}_node{source}", targets[source])
        stride = 2 if inner.halves and source < INPUTS else 1
        name = f"{label}_{source}to{target}"
        targets.setdefault(target, []).append(operation(built, name, gene, index[gene], outputs[source], stride, stack))
    nodes = [outputs.get(n) or built.total(f"{label}_node{n}", found) for n, found in targets.items()]
    return built.concat(label, nodes)


def preprocess(
    built: Builder, name: str, gene: Gene, index: int, source: str, sides: tuple[int, ...], channels: int
) -> str:
    """Append the layer before a cell's input; an image that is larger than these sides is halved on the way."""
    if built.shapes[source][1:] == sides:
        return built.layer(name, gene, index, Synapse("conv", built.shapes[source][0], channels), source)
    return _halved(built, name, gene, index, source, channels)


def operation(built: Builder, name: str, gene: Gene, index: int, source: str, stride: int, stack: int) -> str:
    """Append the operation of one edge; every layer keeps the number of channels."""
    op, channels = gene.op.name, built.shapes[source][0]
    if op == "skip":
        return source if stride == 1 else _halved(built, name, gene, index, source, channels)
    if op in POOLS:
        return built.pool(name, "avgpool" if op == "avg" else "maxpool", source, index, 3, stride, 1)
    separable = op in SEPARABLE
    kernel, dilation = (SEPARABLE[op], 1) if separable else (DILATED[op], 2)
    padding = dilation * (kernel // 2)
    for number in range(1, 1 + (stack if separable else 1)):
        depthwise = Synapse("conv", channels, channels, kernel, stride, padding, dilation, groups=channels)
        source = built.layer(f"{name}_depthwise{number}", gene, index, depthwise, source)
        source = built.layer(f"{name}_pointwise{number}", gene, index, Synapse("conv", channels, channels), source)
        stride = 1
    return source


def _halved(built: Builder, name: str, gene: Gene, index: int, source: str, channels: int) -> str:
    """DARTS's factorised reduction: two 1x1 convolutions of stride 2 make half of the channels each, one of them from
    the image moved by a pixel.
    """
    c_in = built.shapes[source][0]
    even = built.layer(f"{name}_even", gene, index, Synapse("conv", c_in, channels // 2, stride=2), source)
    moved = built.shift(f"{name}_shift", source, index)
    odd = built.layer(f"{name}_odd", gene, index, Synapse("conv", c_in, channels - channels // 2, stride=2), moved)
    return built.concat(name, [even, odd])
