"""The NAS-Bench-201 cell: the contract, its spelling, its network, and its messages."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas import network, spaces
from snn_nas.credit import check
from snn_nas.energy.counter import count
from snn_nas.export.check import mismatches
from snn_nas.export.nir_export import to_nir
from snn_nas.genotype import parse
from snn_nas.spaces import kinds
from snn_nas.spaces.kinds import Macro, settle
from snn_nas.spaces.nb201 import NB201
from snn_nas.spaces.wiring import EDGES, classes, place, traced
from tests.contracts.space import SpaceContract


class TestConvolutions(SpaceContract):
    def tiny(self) -> NB201:
        return NB201((1, 4, 4), 10, ops=("none", "conv1"), rules=("usf", "local"), readouts=("usf",), stages=1)

    def large(self) -> NB201:
        return NB201((3, 32, 32), 10, channels=(16, 32), T=(2, 4))


class TestSkipsPoolsAndCopies(SpaceContract):
    def tiny(self) -> NB201:
        ops = ("none", "skip", "avg")
        return NB201((1, 4, 4), 10, ops=ops, rules=("usf", "stdp"), cells=(1, 2), stages=1, readouts=("usf",))

    def large(self) -> NB201:
        ops = ("none", "skip", "conv3")
        return NB201((2, 8, 8), 10, ops=ops, neurons=("lif", "if"), rules=("frsf", "dfa"), cells=(1, 2), stages=1)


class TestReductions(SpaceContract):
    def tiny(self) -> NB201:
        return NB201((1, 8, 8), 10, ops=("none", "conv3"), rules=("fa", "frozen"), readouts=("usf",))

    def large(self) -> NB201:
        return NB201((1, 28, 28), 10, stages=3, encodings=("direct", "poisson"), rules=("frsf", "usf"))


SPACE = NB201((2, 8, 8), 10, channels=(4,), cells=(1, 2))


def around(cell: str, stem: str = "frsf", reduce: str = "frsf", readout: str = "~usf") -> str:
    return (
        f"nb201(channels=4) stem{{ conv@{stem}/lif }} cell{{ {cell} }} reduce{{ conv@{reduce}/lif }} "
        f"readout{{ readout(grid=1)@delta{readout} }}"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("conv3@frsf/lif[0>3]; conv1@fa/lif[0>1]", "conv3@frsf/lif[0>3]"),
        ("conv3@frsf/lif[0>3]; conv1@fa/lif[1>3]; none[0>1]", "conv3@frsf/lif[0>3]"),
        ("skip[0>1]; conv3@frsf/lif[1>3]", "conv3@frsf/lif[0>3]"),
        (
            "conv3@fa/lif[0>1]; avg[1>3]; conv1@usf/lif[0>2]; skip[2>3]",
            "conv3@fa/lif[0>2]; avg[2>3]; conv1@usf/lif[0>3]",
        ),
        ("conv3@gradient~fa/lif(tau=2.0)[0>3]; conv1@dfa/lif[1>2]", "conv3@fa/lif[0>3]"),
    ],
)
def test_isomorphic_cells_are_one_genotype(one: str, other: str) -> None:
    assert SPACE.canonical(parse(around(one))) == SPACE.canonical(parse(around(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("conv3@fa/lif[0>3]", "conv3@usf/lif[0>3]"),
        ("conv3@fa/lif[0>3]", "conv1@fa/lif[0>3]"),
        ("conv3@fa/lif[0>1]; skip[1>2]; skip[1>3]; skip[2>3]", "conv3@fa/lif[0>1]; conv3@fa/lif[0>3]; skip[1>3]"),
        ("conv3@fa/lif[0>1]; conv3@usf/lif[1>3]", "conv3@usf/lif[0>1]; conv3@fa/lif[1>3]"),
    ],
)
def test_other_cells_are_others(one: str, other: str) -> None:
    assert SPACE.canonical(parse(around(one))) != SPACE.canonical(parse(around(other)))


def test_wirings_of_all_cells() -> None:
    """729 patterns fall into 98 classes; each is written as one of its own patterns, and back."""
    assert len(classes()) == 98
    for wiring in classes():
        assert traced(wiring.pattern) == (wiring.edges, wiring.feeds, wiring.out)
        labels = ["" if edge not in wiring.edges else chr(97 + edge) for edge in range(len(EDGES))]
        again, order = place(wiring.pattern, labels)
        assert again is wiring
        assert order == wiring.spell([labels[edge] for edge in wiring.edges])
        assert tuple(range(len(wiring.edges))) in wiring.symmetries


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_chain_of_variations_stays_valid_and_builds(rng: random.Random) -> None:
    genotype = SPACE.sample(rng)
    for _ in range(3):
        genotype = SPACE.crossover(SPACE.mutate(genotype, rng), SPACE.sample(rng), rng)
    assert SPACE.contains(genotype)
    assert parse(str(genotype)) == genotype
    assert SPACE.decode(SPACE.encode(genotype)) == genotype
    check(SPACE.graph(genotype, SPACE.shape, SPACE.classes))


def test_sums_are_of_spikes_and_the_cell_is_repeated() -> None:
    text = around("conv3@fa/lif[0>1]; avg[0>2]; conv1@frsf/lif[1>3]; skip[0>3]; conv3@fa/lif[2>3]")
    graph = SPACE.expand(parse(text.replace("channels=4", "channels=4,cells=2")))
    assert [node.name for node in graph][:7] == [
        "input", "stem", "cell1_0to1", "cell1_0to2", "cell1_1to3", "cell1_2to3", "cell1_sum1",
    ]  # fmt: skip
    assert {graph.signals[n] for n in ("cell1_0to1", "cell2_1to3", "reduce1")} == {"spike"}
    assert graph.signals["cell1_sum1"] == graph.signals["cell1_0to2"] == "graded"
    assert graph["cell4_sum1"].shape == (8, 4, 4)
    assert graph["cell1_0to2"].shape == (4, 8, 8)
    assert len(graph.layers) == 4 * 3 + 3


def test_it_learns_and_is_counted_and_exported_exactly() -> None:
    """Skips added to themselves included: NIR has one edge between two nodes at most."""
    cells = (
        "conv3@usf/lif[0>1]; avg[0>2]; conv1@dfa/lif[1>2]; skip[0>3]; conv1@frsf/lif[1>3]; conv3@local/lif[2>3]",
        "skip[0>1]; skip[1>2]; skip[0>3]; skip[2>3]; avg[1>3]",
    )
    for cell in cells:
        torch.manual_seed(0)
        genotype = parse(around(cell).replace("/lif", "/lif(reset=hard)"))
        built = network.build(genotype, (2, 8, 8), 10)
        images = torch.rand(4, 2, 8, 8)
        for _ in range(3):
            built(images)  # so that the norms know their inputs
        built(images).mean(0).sum().backward()
        assert built.layers["stem"].synapse.weight.grad.abs().sum() > 0
        built.eval()
        activity = count(built, [images])
        assert activity.samples == 4
        assert set(mismatches(built, to_nir(built), images).values()) == {0}


def test_it_can_be_narrowed_to_what_can_be_exported() -> None:
    given = {"neurons": ["lif", "lif(reset=hard)", "alif", "if(reset=soft,threshold=0.5)"]}
    space = spaces.build("nb201", shape=(1, 8, 8), classes=10, choices=given, exportable="nir")
    assert space.search_space()["stem.neuron"]["_value"] == ["lif(reset=hard)", "if(reset=hard,threshold=0.5)"]
    chain = spaces.build("chain", shape=(1, 8, 8), classes=10, exportable="nir")
    assert chain.search_space()["layer1.down"]["_value"] == ["none", "avg"]
    onnx = spaces.build("nb201", shape=(1, 8, 8), classes=10, choices=given, exportable="onnx")
    assert onnx.neurons == ("lif", "lif(reset=hard)", "alif", "if(threshold=0.5)")  # soft is the default
    with pytest.raises(UserError, match="none of its neurons can be exported to 'nir'"):
        spaces.build("nb201", shape=(1, 8, 8), classes=10, choices={"neurons": ["alif"]}, exportable="nir")
    with pytest.raises(UserError, match="exported to nir and onnx, not 'tflite'"):
        spaces.build("nb201", shape=(1, 8, 8), classes=10, exportable="tflite")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (around("conv3@frs/lif[0>3]"), "unknown rule 'frs'; did you mean"),
        (around("conv3/lif[0>3]"), "cell, edge 0>3 has no rule"),
        (around("conv3@stdp[0>3]"), "cell, edge 0>3 has no neurons"),
        (around("conv3@stdp/lif"), "an edge is one of 0>1, 0>2"),
        (around("conv3@stdp/lif[1>0]"), "an edge is one of"),
        (around("conv5@stdp/lif[0>3]"), "unknown operation 'conv5'"),
        (around("skip@stdp[0>3]"), "skip bears no weights"),
        (around("skip[0>3]; skip[0>3]"), "edge 0>3 is written twice"),
        (around("skip[0>1]"), "no edge leads from its input"),
        (around("conv3@stdp/lif[0>3]", stem="frsf"), "reduce1 .*gets no error: cell2_0to3 .stdp. above"),
        (around("skip[0>1]; skip[1>3]"), "it puts out what it gets"),
        (around("avg[0>3]", reduce="stdp"), "stem .*gets no error"),
        (around("skip[0>3]", stem="delta"), "only for the readout"),
        (around("skip[0>3]").replace("channels", "chanels"), "did you mean 'channels'"),
        (around("skip[0>3]").replace("reduce{", "middle{"), "has the cells stem, cell, reduce, readout"),
        (around("skip[0>3]").replace("channels=4", "channels=4,stages=1"), "has the cells stem, cell, readout"),
    ],
)
def test_a_wrong_genotype_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        SPACE.canonical(parse(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"opps": ["none"]}, "no choice 'opps'; did you mean 'ops'"),
        ({"ops": ["conv3"]}, "ops are none and at least one other"),
        ({"ops": ["none", "conv7"]}, "not 'conv7'"),
        ({"rules": ["nonsense"]}, "unknown rule 'nonsense'"),
        ({"rules": ["delta"]}, "is the readout's"),
        ({"channels": []}, "at least one choice"),
        ({"cells": [0]}, "cells is at least 1"),
        ({"neurons": ["lfi"]}, "did you mean 'lif'"),
        ({"stages": 9}, "stages is at most 6"),
    ],
)
def test_a_wrong_configuration_is_found_before_the_search(choices: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        spaces.build("nb201", shape=(1, 8, 8), classes=10, choices=choices)


def test_a_case_stands_exactly_where_settling_changes_nothing() -> None:
    """Over every wiring, every choice of kinds, and every network around it."""
    both: tuple[kinds.Kind, ...] = ("settled", "sending")
    for stages, cells in ((1, 1), (2, 1), (1, 2), (3, 2)):
        reduces = both if stages > 1 else (None,)
        around = [Macro(cells, stages, stem, reduce) for stem in both for reduce in reduces]
        for (wiring, chosen, facts), macro in itertools.product(kinds._cases()[::7], around):
            same = settle(wiring.feeds, wiring.out, chosen, macro) == (chosen, macro)
            assert kinds._stands(macro, facts) == same
