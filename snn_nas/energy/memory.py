"""Memory and addressing of a spiking layer after Lemaire et al. 2022 (arXiv 2210.13107), section 3.

An event-driven machine without caches: every input spike is read, reads its weights and reads and writes the
potentials that it reaches; every bias and every leak touches its potential once a step. With theta_in, theta_out the
spikes per inference, K = C_out kh kw / groups (N_out for a linear layer) and N the neurons of the layer:

    read input  theta_in             read weights  theta_in K          read bias     T N
    potentials  theta_in K + T N, read and written each                write output  theta_out
    addressing  2 theta_in multiply-accumulates (none for a linear layer) and theta_in K additions

A current that is the same at every step is computed once, and so is its bias read. K is the published fan-out, borders
aside. (Equation 2.4 of the paper has one N_in too many and leaves out the reset;
the reset is an addition among the operations here.) Each buffer is a memory of its own size.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_nas.energy.activity import NodeActivity
from snn_nas.energy.profile import Profile
from snn_nas.graph import Graph, Node, size


@dataclass(frozen=True, slots=True)
class Accesses:
    """One layer's accesses per inference, in words, and its address computations."""

    read_input: float
    read_weights: float
    read_bias: float
    potentials: float
    write_output: float
    address_macs: float
    address_adds: float


def accesses(node: Node, activity: NodeActivity, T: int) -> Accesses:
    """Count for one layer. An analog input counts as events: all of its pixels, in the steps where it is computed."""
    synapse = node.synapse
    assert synapse is not None
    events = sum(activity.events)
    fan = synapse.c_out // synapse.groups * synapse.kernel**2
    biases = sum(activity.biases)
    updates = float(T * size(node.shape))
    return Accesses(
        read_input=events,
        read_weights=events * fan,
        read_bias=biases,
        potentials=events * fan + updates,
        write_output=sum(activity.spikes) if node.neuron is not None else 0.0,
        address_macs=2 * events if synapse.kind == "conv" else 0.0,
        address_adds=events * fan,
    )


def memory(graph: Graph, node: Node, activity: NodeActivity, profile: Profile) -> float:
    """Energy in pJ of one layer's memory accesses per inference; 0 where the profile models no memory."""
    if not profile.memory:
        return 0.0
    assert node.synapse is not None
    found, neurons = accesses(node, activity, graph.T), size(node.shape)
    inputs = size(graph[node.inputs[0]].shape)
    return (
        found.read_input * profile.access(inputs)
        + found.read_weights * profile.access(node.synapse.weights)
        + found.read_bias * profile.access(node.shape[0])
        + 2 * found.potentials * profile.access(neurons)
        + found.write_output * profile.access(neurons)
    )
