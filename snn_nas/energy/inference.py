"""The energy of one inference: counted operations times a profile's prices.

On an arithmetic profile (45 nm), with the counts of `NodeActivity` per inference, N neurons and T steps:

    operations = synops e_ac + macs e_mac + (biases + adds + resets) e_ac      a reset is an addition for each spike
    leak       = T N (e_mac - e_ac)                                            one multiplication; no leak, no cost
    memory, addressing                                                         see `memory`, where the profile has any

On a chip's profile: operations = (synops + macs) e_synop, leak = T N e_neuron_update, communication = spikes * hop.
"""

from __future__ import annotations

from snn_nas.energy.activity import Activity
from snn_nas.energy.memory import accesses, memory
from snn_nas.energy.profile import Profile
from snn_nas.energy.result import Energy, Prices
from snn_nas.graph import Graph, Node


def inference_energy(activity: Activity, graph: Graph, profile: Profile) -> Energy:
    """Energy per inference of the network with this graph that was seen to do `activity`.

    Raises:
        UserError: the profile has no figure for a synaptic operation.
    """
    prices = Prices.of(profile)
    pJ: dict[str, dict[str, float]] = {}
    for done in activity.nodes:
        node = graph[done.name]
        synaptic = sum(done.synops) * prices.ac + sum(done.macs) * prices.mac
        causes = {"operations": synaptic + (sum(done.biases) + sum(done.adds) + sum(done.spikes)) * prices.add}
        if node.op == "layer":
            updates = graph.T * done.neurons
            causes["leak"] = updates * (profile.e_neuron_update or 0.0)
            if not profile.chip and _leaks(node):
                causes["leak"] = updates * prices.mult
            causes["communication"] = sum(done.spikes) * (profile.hop or 0.0)
            if profile.memory:
                found = accesses(node, done, graph.T)
                causes["memory"] = memory(graph, node, done, profile)
                causes["addressing"] = found.address_macs * prices.mac + found.address_adds * prices.add
        pJ[node.name] = causes
    return Energy(profile.name, profile.kind, "inference", pJ, _missing(profile))


def _leaks(node: Node) -> bool:
    return node.neuron is not None and node.neuron.name != "if"


def _missing(profile: Profile) -> tuple[str, ...]:
    if not profile.chip:
        return () if profile.memory else ("memory",)
    wanted = {"neuron updates": profile.e_neuron_update, "communication": profile.hop}
    return tuple(name for name, value in wanted.items() if value is None)
