"""Latency against sums by hand, and against a pipeline that is run step by step."""

import random
from dataclasses import replace

import pytest
import torch

from neurons.errors import UserError
from snn_nas import network
from snn_nas.data import load
from snn_nas.energy.latency import latency_steps, latency_us
from snn_nas.energy.objectives import measure
from snn_nas.energy.profile import profile
from snn_nas.genotype import parse
from snn_nas.graph import Graph
from snn_nas.search.objective import OBJECTIVES
from snn_nas.spaces import build
from snn_nas.spaces import graph as expand
from tests.contracts.profile import busy, tiny

SHAPE = (3, 32, 32)


def run(graph: Graph) -> int:
    """Pipeline steps until the readout has taken all T: in each, every layer takes a step that all its inputs hold."""
    taken = {node.name: 0 for node in graph}
    for tick in range(1, 1000):
        before = dict(taken)
        ready: dict[str, int] = {}
        for node in graph:
            have = min((ready[name] for name in node.inputs), default=min(tick, graph.T))
            if node.op == "layer":
                taken[node.name] += have > taken[node.name]
                ready[node.name] = before[node.name]  # handed on at the end of the step
            else:
                ready[node.name] = have
        if taken[graph.nodes[-1].name] == graph.T:
            return tick
    raise AssertionError


@pytest.mark.parametrize("name", ["chain", "nb201", "darts"])
def test_steps_are_those_of_a_pipeline_that_is_run(name: str) -> None:
    small = {"cells": [3, 4], "nodes": 2} if name == "darts" else {}
    space = build(name, shape=SHAPE, classes=10, choices={"rules": ["frsf"], "T": [2, 4], **small})
    rng = random.Random(0)
    graphs = [expand(space.sample(rng), SHAPE, 10) for _ in range(5)]
    assert [latency_steps(graph) for graph in graphs] == [run(graph) for graph in graphs]
    assert len({latency_steps(graph) - graph.T for graph in graphs}) > 1


def test_a_chain_takes_a_step_a_layer() -> None:
    assert latency_steps(tiny()) == 2 + 3 - 1  # T = 2; the pool between its layers takes none


def test_time_by_hand() -> None:
    """256 neurons in layers 1 and 2, 1,000 MACs in layer 1's first step, 270 synops in every step of the others."""
    g = tiny()
    loihi = profile("loihi")
    update = 256 * 8.4
    each = [1000 * 3.5 + update, 270 * 3.5 + update, 270 * 3.5 + update, update]
    assert latency_us(busy(g), g, loihi) == pytest.approx((4 * 465 + sum(each)) / 1000)
    three_cores = [each[0] / 3, each[1] / 3, each[2] / 3, 270 * 3.5]  # the last step is then the readout's, one core
    small = replace(loihi, core_neurons=100)
    assert latency_us(busy(g), g, small) == pytest.approx((4 * 465 + sum(three_cores)) / 1000)
    assert latency_us(busy(g), g, profile("truenorth")) == 4 * 1000
    with pytest.raises(UserError, match="odin"):
        latency_us(busy(g), g, profile("odin"))


def test_a_trial_measures_it_where_the_profile_says_how_long_a_step_takes() -> None:
    data = load("digits")
    torch.manual_seed(0)
    text = "chain(T=2) { conv(c=8,down=avg)@frsf/lif; readout(grid=4)@delta~usf }"
    net = network.build(parse(text), data.shape, data.classes, normalise=data.normalise)
    found = measure(net, data.validation, "truenorth", samples=20)
    assert (found["latency_steps"], found["latency_us"]) == (3, 3000)
    assert {"latency_steps", "latency_us"} <= set(OBJECTIVES)
    assert "latency_us" not in measure(net, data.validation, samples=20)
