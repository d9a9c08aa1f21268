"""What every energy profile owes. Inherit `ProfileContract`, name one or give a path, and get the tests."""

from __future__ import annotations

import dataclasses
import math

import pytest

from neurons.errors import UserError
from snn_nas.energy.activity import Activity, NodeActivity
from snn_nas.energy.inference import inference_energy
from snn_nas.energy.learning import learning_energy
from snn_nas.energy.profile import Profile, profile
from snn_nas.energy.result import CAUSES
from snn_nas.genotype import parse
from snn_nas.graph import Graph
from snn_nas.spaces import graph

TEXT = "chain(T=2) { conv(c=4)@bp/lif; conv(c=4,down=avg)@bp/lif; readout(grid=4)@delta~usf }"


def tiny() -> Graph:
    from snn_nas.credit import check

    return check(graph(parse(TEXT), (1, 8, 8), 10)).graph


def busy(graph: Graph, events: float = 30.0) -> Activity:
    """An activity with round numbers on every node."""

    def node(name: str) -> NodeActivity:
        n = graph[name]
        analog = graph.signals[n.inputs[0]] == "analog"
        neurons = math.prod(n.shape) if n.neuron else 0
        return NodeActivity(
            name, n.op, graph.signals[n.inputs[0]], 1000, neurons,
            events=(64.0, 0.0) if analog else (events,) * 2,
            synops=(0.0, 0.0) if analog else (9 * events,) * 2,
            macs=(1000.0, 0.0) if analog else (0.0, 0.0),
            adds=(0.0, 0.0), biases=(10.0, 10.0), spikes=(events if neurons else 0.0,) * 2,
        )  # fmt: skip

    return Activity(tuple(node(n.name) for n in graph if n.op not in ("input", "flatten")), graph.T, 1)


class ProfileContract:
    """Subclass with `name`."""

    name: str

    @property
    def profile(self) -> Profile:
        return profile(self.name)

    def test_it_says_where_it_is_from(self) -> None:
        p = self.profile
        assert p.title
        assert len(p.source) > 10
        assert p.kind in ("measured", "derived", "assumed")
        assert p.node
        assert p.precision

    def test_figures_are_finite_and_not_negative(self) -> None:
        for field in dataclasses.fields(Profile):
            value = getattr(self.profile, field.name)
            if isinstance(value, float):
                assert math.isfinite(value)
                assert value >= 0

    def test_a_multiplication_is_never_free(self) -> None:
        p = self.profile
        if p.e_mac is not None and p.e_ac is not None:
            assert p.e_mac >= p.e_ac

    def test_memory_costs_more_the_larger_it_is(self) -> None:
        if self.profile.memory:
            costs = [self.profile.access(2.0**k) for k in range(24)]
            assert costs == sorted(costs)
            assert costs[0] >= 0

    def test_energy_carries_the_name_and_grows_with_activity(self) -> None:
        g = tiny()
        if not self.profile.known:
            with pytest.raises(UserError, match=self.profile.name):
                inference_energy(busy(g), g, self.profile)
            return
        few, many = (inference_energy(busy(g, n), g, self.profile) for n in (10.0, 20.0))
        assert few.profile == self.profile.name
        assert self.profile.name in str(few)
        assert all(row["profile"] == self.profile.name for row in few.rows())
        assert 0 < few.total_uJ < many.total_uJ
        assert sum(few.by_layer.values()) == pytest.approx(few.total_uJ)
        assert sum(few.by_cause.values()) == pytest.approx(few.total_uJ)
        assert set(few.by_cause) == set(CAUSES)

    def test_learning_costs_more_than_inference(self) -> None:
        g = tiny()
        if not self.profile.known:
            return
        inference, learning = inference_energy(busy(g), g, self.profile), learning_energy(busy(g), g, self.profile)
        assert learning.what == "learning"
        assert learning.total_uJ > inference.total_uJ or "learning updates" in learning.missing
