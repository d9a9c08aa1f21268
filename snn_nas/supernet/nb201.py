"""The supernet of `nb201`: all six edges of the cell, each the expectation of its operation, in every copy of it."""

from __future__ import annotations

from collections.abc import Iterator

from snn_nas.graph import Synapse
from snn_nas.spaces.builder import Builder
from snn_nas.spaces.cell201 import KERNELS
from snn_nas.spaces.nb201 import NB201
from snn_nas.spaces.wiring import EDGES
from snn_nas.supernet.blueprint import Blueprint, Draft, Option
from snn_nas.supernet.parts import layers, only, readouts

OUTPUT = max(target for _, target in EDGES)


def draft(space: NB201) -> Blueprint:
    """The supernet; UserError where the space has several T, encodings, channels or numbers of cells."""
    T, encoding = int(only(space, "T", "T")), str(only(space, "encoding", "encodings"))
    channels, cells = int(only(space, "channels", "channels")), int(only(space, "cells", "cells"))
    choices = {key: tuple(entry["_value"]) for key, entry in space.search_space().items()}
    made = Draft(Builder(space.shape, encoding), choices)
    first = Synapse("conv", made.built.shapes["input"][0], channels, 3, 1, 1)
    source = made.mix("stem_mix", list(layers(made, "stem", "stem.", first, "input")))
    for number in range(space.stages * cells):
        stage, nth = divmod(number, cells)
        if stage and not nth:
            halving = Synapse("conv", channels, 2 * channels, 3, 2, 1)
            source = made.mix(f"reduce{stage}_mix", list(layers(made, f"reduce{stage}", "reduce.", halving, source)))
            channels *= 2
        source = _cell(made, f"cell{number + 1}", source, channels)
    made.mix("output", list(readouts(made, source, space.grid, space.classes)))
    return made.done(T, space.classes)


def _cell(made: Draft, label: str, source: str, channels: int) -> str:
    nodes = {0: source}
    for target in range(1, OUTPUT + 1):
        options: list[Option] = []
        for edge in EDGES:
            if edge[1] == target:
                name, where, below = f"{label}_{edge[0]}to{target}", f"{edge[0]}>{target}.", nodes[edge[0]]
                for op in map(str, made.choices[f"{where}op"]):
                    options += _operation(made, name, where, op, below, channels)
        nodes[target] = made.mix(f"{label}_node{target}", options)
    return nodes[OUTPUT]


def _operation(made: Draft, name: str, where: str, op: str, source: str, channels: int) -> Iterator[Option]:
    """What an edge carries where its operation is this; `none` adds nothing to the sum."""
    picked = (f"{where}op", op)
    if op == "skip":
        yield Option(source, ((picked,),))
    if op == "avg":
        yield Option(made.built.pool(f"{name}|avg", "avgpool", source, -1, 3, 1, 1), ((picked,),))
    if op in KERNELS:
        synapse = Synapse("conv", channels, channels, KERNELS[op], 1, KERNELS[op] // 2)
        for option in layers(made, f"{name}|{KERNELS[op]}", where, synapse, source):
            yield Option(option.node, tuple((picked, *chosen) for chosen in option.products))
