"""The NAS-Bench-201 cell (Dong and Yang, 2020, arXiv 2001.00326), spiking, a rule and neurons on every convolution.

    nb201(T=4,cells=1,channels=16,stages=2) stem{ conv@frsf/lif } cell{ conv3@usf/lif[0>1]; avg[1>3]; skip[0>3] }
    reduce{ conv@frsf/lif } readout{ readout(grid=1)@delta~usf }

A cell has four nodes and six edges, each none (not written), a `skip`, an average pool `avg` (3x3, stride 1) or a
convolution `conv1`, `conv3` with norm, rule and neurons. A node sums the *spikes* that arrive: its value is graded, a
small integer, or ninths of one after a pool; no neurons stand between an edge's and those of the next. (To sum currents
into neurons of the node, as some do, would leave the edges without neurons, and rules without a post-synaptic side.)

The one cell is repeated `cells` times in each of `stages`; between stages, `reduce` halves the image and doubles the
channels. So a rule belongs to an edge of the cell, and is the same in every copy. Stem and reduction are 3x3
convolutions with rules of their own. Cells that differ only in dead edges, or in the order of their nodes, are one
genotype (see `wiring`); a cell that is nothing but a wire is none. Pools average over the zeros of the border too, as
NIR's do.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from neurons.errors import UserError
from neurons.settings import Setting, Value
from rules.registry import pair
from snn_nas.credit import check as check_credit
from snn_nas.genotype import Cell, Gene, Genotype, Term
from snn_nas.graph import Graph, Synapse
from snn_nas.spaces import cell201, genes
from snn_nas.spaces.cell201 import EDGE_NAMES, KERNELS, OPS, pattern
from snn_nas.spaces.genes import Builder, Choices, listed, term
from snn_nas.spaces.kinds import Census, Kind, Macro, settle
from snn_nas.spaces.space import Exports, Parameters, Space
from snn_nas.spaces.wiring import EDGES, INPUT, Mark, traced

HEADER = genes.HEADER | {
    "cells": Setting(1, 1, 16, help="copies of the cell in each stage"),
    "channels": Setting(16, 1, 4096, help="of the first stage; each stage doubles them"),
    "stages": Setting(2, 1, 6, help="parts of the network, with a reduction between each two"),
}
SINGLE: genes.Declared = {"conv": {}, "readout": genes.READOUT}
"""The operations of stem, reduction and readout."""


@dataclass(frozen=True)
class NB201(Space):
    """Cells whose every edge is one of these operations; the product with rules and neurons is never typed out."""

    name: ClassVar[str] = "nb201"
    summary: ClassVar[str] = "the NAS-Bench-201 cell, repeated: operations, rules and neurons of six edges; size, T"
    exports: ClassVar[Exports] = {"ops": dict.fromkeys(OPS, ("nir",))}

    shape: tuple[int, int, int]
    classes: int
    ops: tuple[str, ...] = OPS
    rules: tuple[str, ...] = ("usf", "brsf", "frsf", "fa", "dfa", "local", "stdp", "frozen")
    neurons: tuple[str, ...] = ("lif",)
    readouts: tuple[str, ...] = ("usf", "frsf")
    cells: tuple[int, ...] = (1,)
    channels: tuple[int, ...] = (16,)
    T: tuple[int, ...] = (4,)
    encodings: tuple[str, ...] = ("direct",)
    stages: int = 2
    grid: int = 1

    def __post_init__(self) -> None:
        genes.check_lists(self, "ops", "rules", "neurons", "readouts", "cells", "channels", "T", "encodings")
        for op in self.ops:
            if op not in OPS:
                raise UserError(f"space 'nb201': ops are {listed(OPS)}, not {op!r}")
        if "none" not in self.ops or not set(self.ops) - {"none", "skip"}:
            raise UserError("space 'nb201': ops are none and at least one other than skip")
        for transport in self.readouts:
            pair("delta", transport)
        _ = self._choices
        # One network of each choice is built, so that a slip in the configuration is found before the search.
        first = {key: values[0] for key, values in self._legal.items()}
        for key in ("T", "encoding", "cells", "channels", "stem.neuron", "0>3.op"):
            for value in self._legal[key]:
                self._genotype({**first, key: value})

    # -- expansion ---------------------------------------------------------------------------------------------------

    @classmethod
    def graph(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Graph:
        """See `Space.graph`."""
        if genotype.space.name != cls.name:
            raise UserError(f"a genotype of space {genotype.space.name!r} is no nb201")
        header = genes.header(genotype.space, HEADER)
        stages = int(header["stages"])
        names = ["stem", "cell", *["reduce"] * (stages > 1), "readout"]
        parts = {cell.name: cell.genes for cell in genotype.cells}
        if [cell.name for cell in genotype.cells] != names:
            raise UserError(f"nb201 has the cells {listed(names)}, in this order, not {listed(list(parts))}")
        single = {name: _single(name, parts[name]) for name in names if name != "cell"}
        at = cell201.inner(parts["cell"])
        cell201.check_out(at)
        index = {gene: i for i, gene in enumerate(parts["cell"], 1)}
        last = len(genotype.genes) - 1
        channels = int(header["channels"])
        built = Builder(shape, str(header["encoding"]))
        synapse = Synapse("conv", built.nodes[0].shape[0], channels, 3, 1, 1)
        source = built.layer("stem", single["stem"], 0, synapse, "input")
        for number in range(stages * int(header["cells"])):
            stage, nth = divmod(number, int(header["cells"]))
            if stage and not nth:
                synapse = Synapse("conv", channels, 2 * channels, 3, 2, 1)
                source = built.layer(f"reduce{stage}", single["reduce"], last - 1, synapse, source)
                channels *= 2
            source = cell201.expand(built, f"cell{number + 1}", at, index, source, channels)
        grid = single["readout"].op.values.get("grid", genes.READOUT["grid"].default)
        built.readout(single["readout"], last, source, int(grid), classes)
        return Graph(tuple(built.nodes), int(header["T"]), classes)

    def canonical(self, genotype: Genotype) -> Genotype:
        """See `Space.canonical`."""
        graph = check_credit(self.graph(genotype, self.shape, self.classes)).graph
        nodes = [[node for node in graph.layers if node.gene == i] for i in range(len(genotype.genes))]
        written = iter(
            genes.spelled(gene, genes.respell(gene.op, SINGLE.get(gene.op.name, {})), found) if found else gene
            for gene, found in zip(genotype.genes, nodes, strict=True)
        )
        cells = [replace(cell, genes=tuple(itertools.islice(written, len(cell.genes)))) for cell in genotype.cells]
        cells[1] = replace(cells[1], genes=cell201.standing(cell201.inner(cells[1].genes)))
        header = genes.header(genotype.space, HEADER)
        space = Term.of("nb201", **{k: v for k, v in header.items() if k != "encoding" or v != HEADER[k].default})
        return Genotype(space, tuple(cells))

    # -- sampling: a census of kinds, then labels ---------------------------------------------------------------------

    @cached_property
    def _choices(self) -> Choices:
        return Choices("nb201", self.rules)

    @cached_property
    def _labels(self) -> dict[Kind, list[Gene]]:
        """Every gene of each kind that an edge can hold."""
        convs = [Term(op) for op in self.ops if op in KERNELS]
        found: dict[Kind, list[Gene]] = {"wire": [Gene(Term("avg"))] * ("avg" in self.ops)}
        return found | {
            kind: [replace(gene, op=op) for op in convs for gene in plain] for kind, plain in self._plain.items()
        }

    @cached_property
    def _plain(self) -> dict[Kind, list[Gene]]:
        """Every gene of each kind that stem and reduction can be."""
        given: dict[Kind, tuple[Term, ...]] = {
            "settled": tuple(map(term, self._choices.settled)),
            "sending": tuple(map(term, self._choices.carrying)),
            "silent": self._choices.silent,
        }
        return {
            kind: [Gene(Term("conv"), rule, None, term(neuron)) for rule in rules for neuron in self.neurons]
            for kind, rules in given.items()
        }

    @cached_property
    def _census(self) -> Census:
        marks: set[Mark] = {"none" if op == "none" else "skip" if op == "skip" else "op" for op in self.ops}
        return Census(
            marks,
            {kind: len(labels) for kind, labels in self._labels.items()},
            {kind: len(labels) for kind, labels in self._plain.items()},
            len(self.readouts),
            self.cells,
            self.stages,
        )

    def size(self) -> int:
        """See `Space.size`."""
        return len(self.T) * len(self.encodings) * len(self.channels) * self._census.size

    def sample(self, rng: random.Random) -> Genotype:
        """See `Space.sample`: a case by its labelled cells, of which symmetric ones are kept more often."""
        while True:
            drawn = self._census.draw(rng)
            labels = [rng.choice(self._labels[kind]) for kind in drawn.kinds]
            same = sum(tuple(labels[i] for i in way) == tuple(labels) for way in drawn.wiring.symmetries)
            if rng.random() * len(drawn.wiring.symmetries) < same:
                break
        inner = cell201.spread(drawn.wiring.pattern, dict(zip(drawn.wiring.edges, labels, strict=True)))
        cells = [Cell((rng.choice(self._plain[drawn.stem]),), "stem"), Cell(inner, "cell")]
        if drawn.reduce is not None:
            cells.append(Cell((rng.choice(self._plain[drawn.reduce]),), "reduce"))
        cells.append(Cell((self._readout(rng.choice(self.readouts) if drawn.readout else None),), "readout"))
        head = Term.of(
            "nb201", T=rng.choice(self.T), encoding=rng.choice(self.encodings), cells=drawn.cells,
            channels=rng.choice(self.channels), stages=self.stages,
        )  # fmt: skip
        return self.canonical(Genotype(head, tuple(cells)))

    def _readout(self, transport: str | None) -> Gene:
        return Gene(Term.of("readout", grid=self.grid), Term("delta"), transport)

    # -- plans: a genotype as flat choices, those without effect included ----------------------------------------------

    @cached_property
    def _legal(self) -> dict[str, tuple[Value, ...]]:
        legal: dict[str, tuple[Value, ...]] = {
            "T": self.T, "encoding": self.encodings, "cells": self.cells, "channels": self.channels,
        }  # fmt: skip
        for name in ("stem", *["reduce"] * (self.stages > 1)):
            legal |= {f"{name}.rule": self.rules, f"{name}.neuron": self.neurons}
        for name in EDGE_NAMES:
            legal |= {f"{name}.op": self.ops, f"{name}.rule": self.rules, f"{name}.neuron": self.neurons}
        return {**legal, "readout": self.readouts}

    def _plan(self, genotype: Genotype) -> Parameters:
        """Undo the canonical spelling: every value of the plan is one of the choices.

        Raises:
            UserError: the genotype holds something that is none of this space's choices.
        """
        header = genes.header(genotype.space, HEADER)
        plan = {key: values[0] for key, values in self._legal.items()}
        plan |= {key: header[key] for key in ("T", "encoding", "cells", "channels")}
        plan |= {f"{name}.op": "none" for name in EDGE_NAMES}
        for cell in genotype.cells:
            for gene in cell.genes:
                name = cell.name if gene.edge is None else f"{gene.edge[0]}>{gene.edge[1]}"
                if cell.name == "readout":
                    plan["readout"] = gene.transport or self.readouts[0]
                    continue
                if gene.edge is not None:
                    plan[f"{name}.op"] = gene.op.name
                if gene.rule is not None:
                    plan |= {f"{name}.rule": self._choices.choice(gene), f"{name}.neuron": str(gene.neuron)}
        for key, value in plan.items():
            if value not in self._legal.get(key, ()):
                raise UserError(f"{key}={value} is none of this space's choices, {listed(self._legal.get(key, ()))}")
        return plan

    def _genotype(self, plan: Parameters) -> Genotype:
        """Build, repair and respell a plan."""

        def layer(op: str, name: str) -> Gene:
            return Gene(Term(op), term(str(plan[f"{name}.rule"])), None, term(str(plan[f"{name}.neuron"])))

        inner = []
        for name, edge in zip(EDGE_NAMES, EDGES, strict=True):
            op = str(plan[f"{name}.op"])
            inner.append(replace(layer(op, name) if op in KERNELS else Gene(Term(op)), edge=edge))
        cells = [Cell(tuple(inner), "cell")]
        for at, name in ((0, "stem"), *[(2, "reduce")] * (self.stages > 1)):
            cells.insert(at, Cell((layer("conv", name),), name))
        cells.append(Cell((self._readout(str(plan["readout"])),), "readout"))
        header = {key: plan[key] for key in ("T", "encoding", "cells", "channels")}
        return self.repair(Genotype(Term.of("nb201", **header, stages=self.stages), tuple(cells)))

    def repair(self, genotype: Genotype) -> Genotype:
        """See `Space.repair`: a cell that passes nothing gets an edge; what cannot get an error learns without one."""
        parts = {cell.name: cell.genes for cell in genotype.cells}
        inner = cell201.inner(parts["cell"])
        if traced(pattern(inner))[2] in ((), (INPUT,)):
            inner[EDGES[3]] = self._bridge()
        edges, feeds, out = traced(pattern(inner))
        kinds = [cell201.kind(inner[EDGES[edge]]) for edge in edges]
        header = genes.header(genotype.space, HEADER)
        reduce = cell201.kind(parts["reduce"][0]) if "reduce" in parts else None
        macro = Macro(int(header["cells"]), int(header["stages"]), cell201.kind(parts["stem"][0]), reduce)
        repaired, mended = settle(feeds, out, kinds, macro)
        for edge, kind, was in zip(edges, repaired, kinds, strict=True):
            if kind != was:
                inner[EDGES[edge]] = self._settled(inner[EDGES[edge]])
        for name, now, before in (("stem", mended.stem, macro.stem), ("reduce", mended.reduce, macro.reduce)):
            if now != before:
                parts[name] = (self._settled(parts[name][0]),)
        if parts["readout"][0].transport in (None, "none"):
            parts["readout"] = (replace(parts["readout"][0], transport=self.readouts[0]),)
        parts["cell"] = tuple(inner[edge] for edge in EDGES if edge in inner)
        return self.canonical(Genotype(genotype.space, tuple(Cell(found, name) for name, found in parts.items())))

    def _bridge(self) -> Gene:
        """What stands on the edge from input to output of a cell that did nothing."""
        op = next(op for op in self.ops if op not in ("none", "skip"))
        gene = Gene(Term(op), edge=EDGES[3])
        return replace(gene, rule=term(self.rules[0]), neuron=term(self.neurons[0])) if op in KERNELS else gene

    def _settled(self, gene: Gene) -> Gene:
        return replace(gene, rule=self._choices.fallback(), transport=None)

    # -- variation -----------------------------------------------------------------------------------------------------

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Space.neighbours`: one choice changed, and what that forces."""
        return genes.others(genotype, map(self._genotype, self._changes(self._plan(genotype))))

    def _changes(self, plan: Parameters) -> Iterator[Parameters]:
        for key, choices in self._legal.items():
            op = plan.get(f"{key.partition('.')[0]}.op")
            if op is not None and op not in KERNELS and not key.endswith(".op"):
                continue  # it bears no weights
            yield from ({**plan, key: value} for value in choices if value != plan[key])

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Space.mutate`."""
        changes = list(self._changes(self._plan(genotype)))
        rng.shuffle(changes)
        return next((child for child in map(self._genotype, changes) if child != genotype), genotype)

    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        """See `Space.crossover`: each edge, with all that is on it, from either parent."""
        one, other = self._plan(mother), self._plan(father)
        side = {key: rng.choice((one, other)) for key in dict.fromkeys(key.partition(".")[0] for key in one)}
        return self._genotype({key: side[key.partition(".")[0]][key] for key in one})

    # -- NNI -----------------------------------------------------------------------------------------------------------

    def encode(self, genotype: Genotype) -> Parameters:
        """See `Space.encode`."""
        return self._plan(genotype)

    def decode(self, parameters: Mapping[str, Any]) -> Genotype:
        """See `Space.decode`."""
        return self._genotype(genes.checked(parameters, self.search_space(), list(self._legal)))

    def search_space(self) -> dict[str, dict[str, Any]]:
        """See `Space.search_space`; the rule of an edge that bears no weights has no effect."""
        return {key: {"_type": "choice", "_value": list(values)} for key, values in self._legal.items()}

    def contains(self, genotype: Genotype) -> bool:
        """See `Space.contains`."""
        try:
            return self._genotype(self._plan(genotype)) == genotype
        except UserError:
            return False


def _single(name: str, found: tuple[Gene, ...]) -> Gene:
    """The one gene of stem, reduction or readout, checked."""
    if len(found) != 1 or found[0].edge is not None:
        raise UserError(f"{name} holds one gene, without an edge")
    op = "readout" if name == "readout" else "conv"
    genes.check(found[0], name, {op: SINGLE[op]}, readout=name == "readout")
    return found[0]
