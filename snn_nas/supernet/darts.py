"""The supernet of `darts`: every edge from every node before, every operation on it, in every cell of the stack.

A node of this space takes two edges, and its plan says which two, and what is on the first and on the second of them.
So an edge from node a is there with the probability of all pairs that hold a, and what is on it is the expectation
over them; the published relaxation keeps all edges and drops the weaker ones in the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from snn_nas.genotype import Gene, Term
from snn_nas.graph import Synapse
from snn_nas.spaces import darts_cell, darts_flow
from snn_nas.spaces.builder import Builder
from snn_nas.spaces.darts import DARTS
from snn_nas.spaces.darts_cell import PRES, bears
from snn_nas.spaces.darts_network import KINDS, STEM
from snn_nas.spaces.darts_plan import Scheme
from snn_nas.spaces.darts_wiring import INPUTS
from snn_nas.supernet.blueprint import Blueprint, Draft, Option, Product
from snn_nas.supernet.parts import layers, learning, only, readouts


def draft(space: DARTS) -> Blueprint:
    """The supernet; UserError where the space has several T, encodings, channels or numbers of cells."""
    T, encoding = int(only(space, "T", "T")), str(only(space, "encoding", "encodings"))
    channels, cells = int(only(space, "channels", "channels")), int(only(space, "cells", "cells"))
    choices = {key: tuple(entry["_value"]) for key, entry in space.search_space().items()}
    made = Draft(Builder(space.shape, encoding), choices)
    synapse = Synapse("conv", made.built.shapes["input"][0], STEM * channels, 3, 1, 1)
    older = newer = made.mix("stem_mix", list(layers(made, "stem", "stem.", synapse, "input")))
    scheme = Scheme(space.nodes, space.reductions, space.rules_per, space._offered)
    for number, halves in enumerate(darts_flow.kinds(cells, space.reductions)):
        channels *= 2 if halves else 1
        cell = _Cell(made, scheme, number, halves=bool(halves), stack=space.stack)
        older, newer = newer, cell.append((older, newer), channels)
    made.mix("output", list(readouts(made, newer, space.grid, space.classes)))
    return made.done(T, space.classes)


class _Cell:
    """One cell of the stack."""

    def __init__(self, made: Draft, scheme: Scheme, number: int, *, halves: bool, stack: int) -> None:
        self.made, self.scheme, self.number, self.halves, self.stack = made, scheme, number, halves, stack
        self.kind, self.label = KINDS[halves], f"cell{number + 1}"

    def append(self, sources: tuple[str, str], channels: int) -> str:
        """Append the cell; the name of its output."""
        built = self.made.built
        outputs: dict[int, str] = {}
        for number, (op, below) in enumerate(zip(PRES, sources, strict=True)):
            options: list[Option] = []
            for n, (rule, neuron, chosen) in enumerate(learning(self.made.choices, self._where(op))):
                gene, sides = Gene(Term(op), rule, None, neuron), built.shapes[sources[1]][1:]
                layer = darts_cell.preprocess(built, f"{self.label}_{op}|{n}", gene, -1, below, sides, channels)
                options.append(Option(layer, (chosen,)))
            outputs[number] = self.made.mix(f"{self.label}_{op}", options)
        for node in range(INPUTS, INPUTS + self.scheme.nodes):
            found = [option for source in range(node) for option in self._edge(source, node, outputs[source])]
            outputs[node] = self.made.mix(f"{self.label}_node{node}", found)
        return built.concat(self.label, list(outputs.values())[INPUTS:])

    def _where(self, place: str) -> str:
        return self.scheme.where(self.number, self.kind, place)

    def _edge(self, source: int, node: int, below: str) -> Iterator[Option]:
        """Every operation on this edge, under every rule."""
        products: dict[Gene, list[Product]] = defaultdict(list)
        inputs = f"{self.kind}.{node}.inputs"
        for pair in self.made.choices.get(inputs, ("0,1",)):
            sources = [int(each) for each in str(pair).split(",")]
            if source not in sources:
                continue
            wired: Product = ((inputs, pair),) if inputs in self.made.choices else ()
            place = f"{node}.{sources.index(source) + 1}"
            for op in map(str, self.made.choices[f"{self.kind}.{place}.op"]):
                picked: Product = (*wired, (f"{self.kind}.{place}.op", op))
                if not bears(op, source, self.halves):
                    products[Gene(Term(op))].append(picked)
                    continue
                for rule, neuron, chosen in learning(self.made.choices, self._where(place)):
                    products[Gene(Term(op), rule, None, neuron)].append((*picked, *chosen))
        stride = 2 if self.halves and source < INPUTS else 1
        for number, (gene, ways) in enumerate(products.items()):
            name = f"{self.label}_{source}to{node}|{number}"
            made = darts_cell.operation(self.made.built, name, gene, -1, below, stride, self.stack)
            yield Option(made, tuple(ways))
