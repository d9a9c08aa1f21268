"""The layers of a chain: their settings checked, and expanded into a graph."""

from __future__ import annotations

from collections.abc import Mapping

from neurons.errors import UserError
from neurons.settings import Setting, Value
from snn_nas.genotype import Gene
from snn_nas.graph import Node, Op, Synapse
from snn_nas.spaces import genes
from snn_nas.spaces.builder import Builder

DOWNS = ("none", "avg", "max", "stride")
CONV = {
    "c": Setting(32, 1, 4096, help="output channels"),
    "k": Setting(3, 1, 11, help="kernel; odd, so that the image keeps its size"),
    "down": Setting("none", choices=DOWNS, help="how the image is halved after the layer, or by its stride"),
    "skip": Setting(0, 0, 1, help="add the input spikes to the current"),
}
OPS: dict[str, Mapping[str, Setting]] = {
    "conv": CONV,
    "sepconv": CONV,
    "linear": {"c": Setting(128, 1, 65536, help="neurons")},
    "readout": genes.READOUT,
}


def halved(sides: tuple[int, ...], down: str) -> tuple[int, ...]:
    """Sides of the image after a gene with this `down`."""
    if down == "none":
        return sides
    return tuple((side + 1) // 2 if down == "stride" else side // 2 for side in sides)


def checked(gene: Gene, where: str) -> dict[str, Value]:
    """A gene's settings, checked, defaults filled in.

    Raises:
        UserError: what is unknown or out of range, with the layer's name.
    """
    if gene.edge is not None:
        raise UserError(f"{where}: a chain's genes have no edges")
    return genes.check(gene, where, OPS, readout=gene.op.name == "readout")


def expand(built: Builder, gene: Gene, index: int, classes: int) -> None:
    """Append a gene's nodes to a chain."""
    name = "readout" if gene.op.name == "readout" else f"layer{index + 1}"
    append(built, name, gene, index, built.nodes[-1], classes)


def append(built: Builder, name: str, gene: Gene, index: int, below: Node, classes: int) -> str:
    """Append a gene's nodes to any node; the name of the last."""
    settings = checked(gene, name)
    if gene.op.name == "readout":
        return built.readout(gene, index, below.name, int(settings["grid"]), classes)
    c = int(settings["c"])
    if gene.op.name == "linear":
        source = built.flatten(f"{name}_flatten", below.name, index)
        return built.layer(name, gene, index, Synapse("linear", built.shapes[source][0], c), source)
    if len(below.shape) == 1:
        raise UserError(f"{name}: no convolution can follow a linear layer")
    k, stride = int(settings["k"]), 2 if settings["down"] == "stride" else 1
    shortcuts: tuple[str, ...] = ()
    if settings["skip"]:
        if below.op == "input":
            raise UserError(f"{name}: the first layer has no input spikes to skip with; leave out its skip=1")
        if stride == 2 or below.shape[0] != c:
            shapes = f"its input has {below.shape[0]} channels, its output {c}, stride {stride}"
            raise UserError(f"{name}: a skip needs equal shapes; {shapes}")
        shortcuts = (below.name,)
    c_in = below.shape[0]
    if gene.op.name == "conv":
        built.layer(name, gene, index, Synapse("conv", c_in, c, k, stride, k // 2), below.name, *shortcuts)
    else:
        depthwise = Synapse("conv", c_in, c_in, k, stride, k // 2, groups=c_in)
        source = built.layer(f"{name}_depthwise", gene, index, depthwise, below.name)
        built.layer(f"{name}_pointwise", gene, index, Synapse("conv", c_in, c), source, *shortcuts)
    if (down := settings["down"]) in ("avg", "max"):
        op: Op = "avgpool" if down == "avg" else "maxpool"
        try:
            built.pool(f"{name}_pool", op, built.nodes[-1].name, index, 2)
        except UserError as error:
            raise UserError(f"{name}: {error}; leave out its down={down}") from None
    return built.nodes[-1].name
