"""The supernet of a chain: a trellis of shapes. Depth, widths and halvings are choices like the rest.

At every place there is one mix for each shape that a chain can have there, and at every depth that the space allows a
readout for each shape; the output is their expectation. Layers are exactly those of the space's networks, none is
padded, so their number grows with widths x halvings of two places that follow each other: keep these few.
"""

from __future__ import annotations

import itertools
from collections import defaultdict

from snn_nas.genotype import Gene, Term
from snn_nas.spaces.builder import Builder
from snn_nas.spaces.chain import Chain
from snn_nas.spaces.chain_layer import append
from snn_nas.spaces.genes import untransported
from snn_nas.supernet.blueprint import Blueprint, Draft, Option, Product
from snn_nas.supernet.parts import learning, only

Shape = tuple[int, ...]


def draft(space: Chain) -> Blueprint:
    """The supernet; UserError where the space has several T or encodings."""
    T, encoding = int(only(space, "T", "T")), str(only(space, "encoding", "encodings"))
    choices = {key: tuple(entry["_value"]) for key, entry in space.search_space().items()}
    made = Draft(Builder(space.shape, encoding), choices)
    states: dict[Shape, str] = {made.built.shapes["input"]: "input"}
    readouts: list[Option] = []
    for number in range(1, max(space.depth) + 1):
        options: dict[Shape, list[Option]] = defaultdict(list)
        for shape, state in states.items():
            for option in _layers(space, made, number, shape, state):
                options[made.built.shapes[option.node]].append(option)
        states = {
            shape: made.mix(f"mix{number}_{'x'.join(map(str, shape))}", found, given=True)
            for shape, found in options.items()
        }
        if number in space.depth:
            for state, transport in itertools.product(states.values(), choices["readout"]):
                name = f"readout|{len(readouts)}"
                gene = Gene(Term.of("readout", grid=space.grid), Term("delta"), str(transport))
                node = made.built.readout(gene, -1, state, space.grid, space.classes, name)
                readouts.append(Option(node, ((("depth", number), ("readout", transport)),), state))
    made.mix("output", readouts)
    return made.done(T, space.classes)


def _layers(space: Chain, made: Draft, number: int, shape: Shape, state: str) -> list[Option]:
    """Every layer that can stand on this shape here, each with the choices which, once repaired, come to it."""
    where = f"layer{number}."
    keys = ("op", "c", "k", "down", "skip")
    found: dict[tuple[Term, Term, Term], str] = {}
    pooled: dict[tuple[str, str], str] = {}
    options: list[Option] = []
    for picked in itertools.product(*(made.choices[where + key] for key in keys)):
        given = dict(zip(keys, picked, strict=True))
        op, down = str(given["op"]), str(given["down"])
        if min(shape[1:]) < 2:
            down = "none"  # as `Chain.repair` does
        skip = int(given["skip"]) if state != "input" and given["c"] == shape[0] and down != "stride" else 0
        stride = down if down == "stride" else "none"  # a pool is no part of a layer: both ways share it
        plain = Term.of(op, c=given["c"], k=given["k"], skip=skip, down=stride)
        chosen: Product = tuple((where + key, value) for key, value in given.items())
        for offered, neuron, learns in learning(made.choices, where):
            alone = state == "input" and op == "conv"  # nothing below needs an error, so all transports are one
            rule = untransported(str(offered)) if alone else offered
            key = plain, rule, neuron
            if key not in found:
                name = f"layer{number}|{sum(node.op == 'layer' for node in made.built.nodes)}"
                below = next(node for node in made.built.nodes if node.name == state)
                found[key] = append(made.built, name, Gene(plain, rule, None, neuron), -1, below, space.classes)
            node = found[key]
            if down in ("avg", "max"):
                at = node, down
                if at not in pooled:
                    kind = "avgpool" if down == "avg" else "maxpool"
                    pooled[at] = made.built.pool(f"{node}_{down}", kind, node, -1, 2)  # type: ignore[arg-type]
                node = pooled[at]
            options.append(Option(node, (chosen + learns,), "" if state == "input" else state))
    return options
