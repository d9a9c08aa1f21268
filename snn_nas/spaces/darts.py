"""The DARTS cell (Liu, Simonyan and Yang, 2019, arXiv 1806.09055), spiking, a rule and neurons on every convolution.

    darts(T=4,cells=8,channels=16,reductions=2) stem{ conv@frsf/lif }
    normal{ pre0@usf/lif; pre1@frsf/lif; sep3@usf/lif[0>2]; skip[1>2]; dil5@stdp/lif[0>3]; avg[2>3]; ... }
    reduce{ pre0@usf/lif; pre1@usf/lif; skip@fa/lif[0>2]; max[1>2]; ... } readout{ readout(grid=1)@delta~usf }

It is the cell of the source paper, of EG-NAS and of BioTorch's LR-NAS. Nodes 0 and 1 are the outputs of the two cells
before, each through a 1x1 convolution, `pre0` and `pre1`. Each further node sums two edges, and the cell puts out the
channels of all of them, one node's after the other's. An edge is a `skip`, a 3x3 pool `avg` or `max`, a separable
convolution `sep3`, `sep5` (depthwise and pointwise, `stack` times) or a dilated one `dil3`, `dil5` (once, dilation 2),
every layer of it with norm and neurons, all under one rule. `reductions` of the cells, at equal parts of the way, are
of the second kind: their edges from an input have a stride of 2, and the cells from there on twice the channels. Where
a skip, or `pre0` behind a reduction, halves the image it becomes two 1x1 convolutions, one of a shifted image, and has
a rule like the rest.

Rules are given `per` edge of the two cells, as in the paper; per `position`, each edge of each stacked cell having its
own; or per `cell`, each stacked cell having one. Where they differ, the stacked cells are written one by one, `cell1`
and so on; where they do not, `normal` and `reduce` stand for all. Nodes sum spikes, as in `nb201`: their value is a
small integer. Cells that differ only by the order of their nodes are one genotype (see `darts_wiring`).
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import ClassVar

from neurons.errors import UserError
from neurons.registry import FORMATS
from neurons.settings import Setting, Value
from snn_nas.genotype import Cell, Gene, Genotype, Term
from snn_nas.graph import Graph
from snn_nas.spaces import darts_network as network
from snn_nas.spaces import genes
from snn_nas.spaces.choices import NEEDS
from snn_nas.spaces.darts_cell import CONVS, NODES, OPS, POOLS, PRES, Inner
from snn_nas.spaces.darts_census import Census, Repeated, Stacked
from snn_nas.spaces.darts_flow import Per, Stack
from snn_nas.spaces.darts_network import HEADER, KINDS
from snn_nas.spaces.darts_plan import Scheme
from snn_nas.spaces.darts_sample import Giver
from snn_nas.spaces.darts_shapes import Labels, Shapes
from snn_nas.spaces.darts_wiring import Edge, numberings
from snn_nas.spaces.draw import drawn
from snn_nas.spaces.planned import Planned
from snn_nas.spaces.space import Exports, Parameters

_shapes = lru_cache(maxsize=64)(Shapes)
"""Counted once for all spaces that have the same operations."""


@dataclass(frozen=True)
class DARTS(Planned):
    """Cells whose every edge is one of these operations; the product with rules and neurons is never typed out."""

    name: ClassVar[str] = "darts"
    summary: ClassVar[str] = (
        "the DARTS cell: wiring, operations, rules and neurons of a normal and a reduction cell; size, T"
    )
    exports: ClassVar[Exports] = {"ops": {**dict.fromkeys(OPS, FORMATS), "max": ("onnx",)}}

    shape: tuple[int, int, int]
    classes: int
    ops: tuple[str, ...] = OPS
    rules: tuple[str, ...] = ("usf", "brsf", "frsf", "fa", "dfa", "local", "stdp", "frozen")
    neurons: tuple[str, ...] = ("lif",)
    readouts: tuple[str, ...] = ("usf", "frsf")
    rules_per: Per = "edge"
    cells: tuple[int, ...] = (8,)
    channels: tuple[int, ...] = (16,)
    T: tuple[int, ...] = (4,)
    encodings: tuple[str, ...] = ("direct",)
    reductions: int = 2
    nodes: int = NODES
    stack: int = 2
    grid: int = 1

    def __post_init__(self) -> None:
        where = "space 'darts'"
        Setting("edge", choices=("edge", "position", "cell")).check(self.rules_per, f"{where}: rules_per")
        Setting(NODES, 1, NODES).check(self.nodes, f"{where}: nodes")
        for key in ("reductions", "stack"):
            HEADER[key].check(getattr(self, key), f"{where}: {key}")
        self._check(-(-max(self.shape[1:]) // 2**self.reductions), "ops", "cells", "channels")
        self._only("ops", OPS)
        self._try("T", "encoding", "cells", "channels", "stem.neuron", "normal.2.1.op")

    @classmethod
    def graph(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Graph:
        """See `Space.graph`."""
        return network.graph(genotype, shape, classes)

    @classmethod
    def spell(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Genotype:
        """See `Space.spell`: the cells of a kind are written once where they are alike."""
        return network.spell(genotype, shape, classes)

    @classmethod
    def auxiliary(cls, genotype: Genotype) -> str | None:
        """See `Space.auxiliary`: after two thirds of the cells, as published."""
        cells = len(network.kinds(genotype))
        place = 2 * cells // 3 + 1
        return f"cell{place}" if place < cells else None

    # -- sampling: where errors go, then the shapes of the cells, then their rules -------------------------------------

    @cached_property
    def _shapes(self) -> tuple[Shapes, ...]:
        """Of the normal cell and, where there is one, of the reduction."""
        convs, pools, skips = (tuple(op for op in self.ops if op in some) for some in (CONVS, POOLS, ("skip",)))
        normal = _shapes(self.nodes, convs, skips + pools, skips + pools, ())
        return (normal, _shapes(self.nodes, convs, skips + pools, pools, skips)) if self.reductions else (normal,)

    @cached_property
    def _censuses(self) -> dict[tuple[int, int], Census]:
        """By T and number of cells; with one step, fewer neurons differ."""
        made: dict[Stack, Census] = {}
        found = {}
        for T in self.T:
            labels = Labels(*(len(self._offered.layers(need, T)) for need in NEEDS))
            for cells in self.cells:
                stack = Stack(cells, self.reductions, self.rules_per, labels, len(self.readouts))
                if stack not in made:
                    census = Repeated if self.rules_per == "edge" else Stacked
                    made[stack] = census(stack, [shapes.profiles for shapes in self._shapes])
                found[T, cells] = made[stack]
        return found

    def size(self) -> int:
        """See `Space.size`."""
        return len(self.encodings) * len(self.channels) * sum(census.size for census in self._censuses.values())

    def sample(self, rng: random.Random) -> Genotype:
        """See `Space.sample`."""
        T, cells = drawn(rng, list(self._censuses), [census.size for census in self._censuses.values()])
        census = self._censuses[T, cells]
        found = census.draw(rng)
        shapes = tuple(s.draw(rng, profile) for s, profile in zip(self._shapes, found.profiles, strict=True))
        giver = Giver(rng, census.stack, self._offered, T, found, shapes)
        readout = self._readout(rng.choice(self.readouts) if found.facts[-1].wants else None)
        written = (Cell((giver.stem(),), "stem"), *giver.cells(), Cell((readout,), "readout"))
        header = self._header(
            {"T": T, "encoding": rng.choice(self.encodings), "cells": cells, "channels": rng.choice(self.channels)}
        )
        return self.canonical(Genotype(header, written))

    def _header(self, given: Mapping[str, Value]) -> Term:
        settings = {key: given[key] for key in ("T", "encoding", "cells", "channels")}
        return Term.of("darts", **settings, reductions=self.reductions, stack=self.stack)

    # -- plans: a genotype as flat choices, those without effect included ----------------------------------------------

    @cached_property
    def _scheme(self) -> Scheme:
        return Scheme(self.nodes, self.reductions, self.rules_per, self._offered)

    @cached_property
    def _legal(self) -> Mapping[str, tuple[Value, ...]]:
        around: dict[str, tuple[Value, ...]] = {
            "T": self.T, "encoding": self.encodings, "cells": self.cells, "channels": self.channels,
        }  # fmt: skip
        inside = self._scheme.legal(self.ops, max(self.cells))
        return {**around, **inside, "readout": self.readouts}

    def _active(self, plan: Parameters) -> Collection[str]:
        return {key for key in plan if "." not in key} | self._scheme.active(plan)

    def _changed(self, plan: Parameters, key: str, value: Value) -> Parameters:
        """One choice changed; a rule that needs an error brings its like to the layers that would keep it away."""
        return self._scheme.opened(super()._changed(plan, key, value), key)

    def repair(self, genotype: Genotype) -> Genotype:
        """See `Space.repair`: what cannot get an error learns without one."""
        return self._genotype(self._plan(genotype))

    def _plan(self, genotype: Genotype) -> Parameters:
        header = genes.header(genotype.space, HEADER)
        for key in ("reductions", "stack"):
            if header[key] != getattr(self, key):
                raise UserError(f"{key}={header[key]} is not this space's, {getattr(self, key)}")
        if self.rules_per == "edge" and genotype.cells[1].name not in KINDS:
            raise UserError("its stacked cells have rules of their own, but this space has rules_per=edge")
        plan = {key: values[0] for key, values in self._legal.items()}
        plan |= {key: header[key] for key in ("T", "encoding", "cells", "channels")}
        self._learn(plan, "stem.", genotype.cells[0].genes[0])
        plan["readout"] = genotype.genes[-1].transport or self.readouts[0]
        ops: dict[str, dict[Edge, str]] = {}
        for cell, inner in enumerate(network.stacked(genotype)):
            kind = KINDS[inner.halves]
            if len(inner.edges) != 2 * self.nodes:
                raise UserError(f"{inner.name} has {len(inner.edges) // 2} nodes, this space's cells have {self.nodes}")
            at = _aligned(inner, ops.get(kind))
            ops[kind] = {edge: gene.op.name for edge, gene in at.items()}
            plan |= self._scheme.wiring(kind, ops[kind])
            self._admit(plan)
            found = {place: at[edge] for edge, _, place in self._scheme.edges(plan, kind)}
            found |= zip(PRES, inner.pre, strict=True)
            learning = {place: found[place] for _, place in self._scheme.bearing(plan, kind)}
            if self.rules_per == "cell":
                learning = dict.fromkeys(PRES, self._alike(inner.name, learning.values(), int(header["T"])))
            for place, gene in learning.items():
                self._learn(plan, self._scheme.where(cell, kind, place), gene)
        return self._admit(plan)

    def _learn(self, plan: Parameters, where: str, gene: Gene) -> None:
        plan[f"{where}rule"] = self._offered.rule(gene)
        plan[f"{where}neuron"] = self._offered.neuron(gene, int(plan["T"]))

    def _alike(self, name: str, found: Collection[Gene], T: int) -> Gene:
        """The one gene whose rule and neurons a whole cell has."""
        # Where nothing below needs an error a rule's transport is not written; another layer says which it is.
        clear = [gene for gene in found if str(gene.rule) in self.rules] or list(found)
        if len({(self._offered.rule(gene), self._offered.neuron(gene, T)) for gene in clear}) > 1:
            raise UserError(f"{name} has several rules or neurons, but this space has rules_per=cell")
        return clear[0]

    def _genotype(self, plan: Parameters) -> Genotype:
        plan = self._scheme.mended(plan)
        cells = {"stem": Cell((self._layer(Term("conv"), plan, "stem."),), "stem")}
        for cell, kind in enumerate(self._scheme.stack(plan)):
            name = kind if self.rules_per == "edge" else f"cell{cell + 1}"
            bearing = {place for _, place in self._scheme.bearing(plan, kind)}
            found = [self._layer(Term(pre), plan, self._scheme.where(cell, kind, pre)) for pre in PRES]
            for edge, op, place in self._scheme.edges(plan, kind):
                where = self._scheme.where(cell, kind, place)
                gene = self._layer(Term(op), plan, where) if place in bearing else Gene(Term(op))
                found.append(replace(gene, edge=edge))
            cells[name] = Cell(tuple(found), name)
        readout = Cell((self._readout(str(plan["readout"])),), "readout")
        return self.canonical(Genotype(self._header(plan), (*cells.values(), readout)))


def _aligned(inner: Inner, ops: Mapping[Edge, str] | None) -> Mapping[Edge, Gene]:
    """The cell with its nodes numbered so that it has these operations.

    Raises:
        UserError: there is no such numbering.
    """
    for cell in numberings(inner.edges):
        if ops is None or {edge: gene.op.name for edge, gene in cell.items()} == ops:
            return cell
    raise UserError(f"{inner.name} has other operations than the cells of its kind before it")
