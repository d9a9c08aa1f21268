"""Whatever a space marked exportable produces is exported, and read with the same spikes: random genotypes of each."""

import random
from pathlib import Path

import pytest
import torch

from snn_nas import network, spaces
from snn_nas.data.dataset import Normalise
from snn_nas.export.check import spikes
from snn_nas.export.euler import encoded, run
from snn_nas.export.folding import folded
from snn_nas.export.nir_export import outlook, save_nir
from snn_nas.export.nir_import import load_nir
from snn_nas.genotype import Genotype, parse
from snn_nas.network import Network
from tests.export.test_nir_export import into_snntorch, into_spikingjelly, steps_of, unexplained

NEURONS = ["lif(threshold=0.5)", "lif(tau=3.0,decay_input=false)", "if(reset=hard)", "plif", "alif"]
SMALL = {
    "chain": {"widths": [4, 6], "downs": ["none", "avg", "max", "stride"], "T": [2, 3]},
    "nb201": {"channels": [4], "cells": [1], "T": [2, 3]},
    "darts": {"channels": [4], "cells": [2], "T": [2], "reductions": 1, "nodes": 2, "stack": 1},
}
DRAWN = 3
TWICE = (
    "nb201(T=2,cells=1,channels=4,stages=1) stem{ conv@frozen/lif(reset=hard) } "
    "cell{ skip[0>1]; skip[1>2]; conv3@frozen/lif(reset=hard)[0>3]; skip[1>3]; skip[2>3] } readout{ readout@delta }"
)


def lively(genotype: Genotype, shape: tuple[int, int, int]) -> Network:
    """A folded network whose norms know their inputs, and whose neurons fire."""
    torch.manual_seed(0)
    built = network.build(genotype, shape, 4, normalise=Normalise((0.4, 0.6), (0.2, 0.3)))
    with torch.no_grad():
        for _ in range(10):
            built(torch.rand(16, *shape))
        for layer in built:
            if not isinstance(layer.norm, torch.nn.Identity):
                layer.norm.running_mean -= 0.4
    return folded(built)


@pytest.mark.parametrize("name", spaces.spaces())
def test_what_is_marked_exportable_is_exported_and_read(name: str, tmp_path: Path) -> None:
    shape = (2, 8, 8)
    given = {"neurons": NEURONS, **SMALL[name]}
    space = spaces.build(name, shape=shape, classes=4, choices=given, exportable="nir")
    rng = random.Random(0)
    for _ in range(DRAWN):
        read_back(space.sample(rng), shape, tmp_path / "net.nir")


def test_a_signal_added_to_itself_is_read_by_all(tmp_path: Path) -> None:
    """NIR has one edge between two nodes at most, and its Scale is read by few."""
    read_back(parse(TWICE), (2, 8, 8), tmp_path / "net.nir")
    nodes = load_nir(tmp_path / "net.nir").nodes
    assert any("_2x_" in name for name in nodes)


def read_back(genotype: Genotype, shape: tuple[int, int, int], path: Path) -> None:
    """Export it, and compare what every reader makes of the file with the network."""
    built, images = lively(genotype, shape), torch.rand(100, *shape)
    assert outlook(built.graph) == "exportable", genotype
    save_nir(built, path)
    inputs = encoded(built, images)
    rates = [float(sent.mean()) for sent in spikes(built, images).values()]
    assert sum(0 < rate < 1 for rate in rates) > len(rates) / 2, "too little happens for a proof"
    names = [node.name for node in built.graph.layers if node.neuron is not None]
    seen = run(load_nir(path), inputs)
    found = {"euler": {name: seen[f"{name}_neurons"] for name in names}}
    found["spikingjelly"], _ = steps_of(into_spikingjelly(path), inputs)
    if not any(node.neuron.name == "if" for node in built.graph.layers if node.neuron is not None):
        found["snntorch"], _ = steps_of(into_snntorch(path), inputs)
    for reader, sent in found.items():
        assert unexplained(built, images, sent) == dict.fromkeys(names, 0), f"{reader}: {genotype}"
