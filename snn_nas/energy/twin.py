"""The equal-bits twin: the same topology as a quantised rate network, and which of the two wins.

Counts of T steps carry log2(T + 1) bits, so the fair opponent is a rate network with activations of ceil(log2(T + 1))
bits (Yan et al. 2024, arXiv 2409.08290). It runs once, densely: D multiply-accumulates a layer, whose multiplier
shrinks with the bits of the activation,

    e = e_ac + (e_mac - e_ac) bits / (bits of the profile)

pools, shortcuts and an encoding that computes cost it what they cost a dense pass, each addition e_ac,
and where memory is modelled each of them reads a weight and an activation of that many bits, each output reads its bias
and is written once; partial sums stay in a register. That is as cache-less as Lemaire's spiking machine. A chip's
profile prices no rate network, and no verdict is given there.

The verdict turns where F + V r = twin, with F the part of the spiking network's energy that no spike causes (analog
input, biases, leak), and V the rest per mean rate r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from neurons.errors import UserError
from snn_nas.energy.activity import Activity
from snn_nas.energy.connections import fan_out
from snn_nas.energy.encoding import encoding_macs
from snn_nas.energy.inference import inference_energy
from snn_nas.energy.profile import Profile
from snn_nas.energy.result import Energy, priced
from snn_nas.graph import Graph, Node, Synapse, size


@dataclass(frozen=True)
class Comparison:
    """A spiking network beside its equal-bits rate twin, on one profile.

    Attributes:
        profile: its name.
        T, bits: time steps; bits of the twin's activations.
        mean_rate: spikes per neuron and step.
        spikes_per_synapse: per inference.
        spiking_uJ, twin_uJ: microjoules per inference.
        turning_rate: the mean rate below which the spiking network wins; None where no rate makes it win, or nothing
            fired from which one could be worked out.
    """

    profile: str
    T: int
    bits: int
    mean_rate: float
    spikes_per_synapse: float
    spiking_uJ: float  # noqa: N815
    twin_uJ: float  # noqa: N815
    turning_rate: float | None

    @property
    def winner(self) -> str:
        """`spiking` or `rate`."""
        return "spiking" if self.spiking_uJ < self.twin_uJ else "rate"

    @property
    def verdict(self) -> str:
        """One line for people."""
        winner = "spiking network" if self.winner == "spiking" else f"{self.bits}-bit rate twin"
        head = (
            f"on {self.profile} the {winner} wins: {self.spiking_uJ:.3g} µJ spiking, {self.twin_uJ:.3g} µJ as a "
            f"{self.bits}-bit rate network (T={self.T}, mean rate {self.mean_rate:.1%}, "
            f"{self.spikes_per_synapse:.2f} spikes a synapse)"
        )
        if self.turning_rate is None and self.winner == "spiking":
            return f"{head}; it fires nothing, so that no turning rate can be worked out"
        if self.turning_rate is None:
            return f"{head}; no firing rate would turn that"
        if self.turning_rate > 1:
            return f"{head}; the spiking network wins at every firing rate"
        return f"{head}; it turns at a mean rate of {self.turning_rate:.1%}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, winner and verdict included."""
        return {
            **{f: getattr(self, f) for f in self.__dataclass_fields__},
            "winner": self.winner,
            "verdict": self.verdict,
        }


def twin_bits(T: int) -> int:
    """Bits of the activations that can hold a count of 0 to T spikes."""
    return math.ceil(math.log2(T + 1))


def twin_energy(activity: Activity, graph: Graph, profile: Profile) -> Energy:
    """Energy per inference of the equal-bits rate network of this topology.

    Raises:
        UserError: the profile is a chip's, on which no rate network runs, or has no figure at all.
    """
    priced(profile)
    if profile.e_mac is None or profile.e_ac is None:
        raise UserError(f"profile {profile.name!r} prices spiking operations only: a rate twin needs e_mac and e_ac")
    bits = twin_bits(graph.T)
    narrow = min(bits / profile.bits, 1.0)
    mac = profile.e_ac + (profile.e_mac - profile.e_ac) * narrow
    pJ: dict[str, dict[str, float]] = {}
    for node in graph:
        if node.op in ("input", "avgpool", "maxpool", "add"):
            macs = encoding_macs(node) if node.op == "input" else 0
            operations = macs * profile.e_mac + _dense_adds(graph, node) * profile.e_ac
            if operations:
                pJ[node.name] = {"operations": operations}
            continue
        if node.synapse is None:
            continue
        source = graph[node.inputs[0]]
        macs, neurons = activity[node.name].connections, size(node.shape)
        analog = graph.signals[source.name] == "analog"
        adds = neurons + _dense_adds(graph, node)  # its bias, and its shortcuts
        causes = {"operations": macs * (profile.e_mac if analog else mac) + adds * profile.e_ac}
        if profile.memory:
            words = size(source.shape) * (1.0 if analog else narrow)
            activation = profile.access(words) * (1.0 if analog else narrow)
            output = profile.access(neurons * narrow) * narrow
            weights = profile.access(node.synapse.weights)
            causes["memory"] = macs * (weights + activation) + neurons * (profile.access(node.shape[0]) + output)
        pJ[node.name] = causes
    return Energy(profile.name, profile.kind, "twin", pJ, () if profile.memory else ("memory",))


def _dense_adds(graph: Graph, node: Node) -> float:
    """Additions (for a max pool, comparisons) of one dense pass beside those along synapses."""
    if node.op in ("avgpool", "maxpool"):
        kernel, stride, padding = node.window
        shape = graph[node.inputs[0]].shape
        return float(shape[0] * fan_out(Synapse("conv", 1, 1, kernel, stride, padding), shape).sum())
    return float(sum(size(graph[name].shape) for name in node.inputs[1:]))


def compare(activity: Activity, graph: Graph, profile: Profile) -> Comparison:
    """The spiking network beside its twin.

    Raises:
        UserError: as `twin_energy`.
    """
    spiking = inference_energy(activity, graph, profile).total_uJ
    twin = twin_energy(activity, graph, profile).total_uJ
    fixed = inference_energy(activity.scaled(0.0), graph, profile).total_uJ
    rate = activity.mean_rate
    turning: float | None = None
    if spiking > fixed and rate > 0 and twin > fixed:
        turning = rate * (twin - fixed) / (spiking - fixed)
    return Comparison(
        profile.name, graph.T, twin_bits(graph.T), rate, activity.spikes_per_synapse, spiking, twin, turning
    )
