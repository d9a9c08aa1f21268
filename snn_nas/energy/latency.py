"""Latency, modelled and never timed: from the first input to the last current of the readout.

The model is a pipeline, as on a chip that keeps every layer in place: a layer hands its spikes on at the end of a time
step, so each one on the way takes a step, and all of them work at once, on later and later inputs. With T steps of
input and a longest path of `depth` layers (pools, sums and shortcuts take none, and a shorter branch waits),

    latency_steps = T + depth - 1

and in time, on a profile that says how long things take, all cores waiting for the slowest in every step:

    latency_us = sum over pipeline steps s of  t_step + max over layers l of work[l, s] / cores[l]
    work[l, s] = (synops + macs)[l, s - place of l] t_synop + neurons[l] t_neuron_update
    cores[l]   = ceil(neurons[l] / core_neurons), one where the profile does not say

in nanoseconds, of the counts of `Activity`, the average input's. A profile with a fixed tick has nothing but `t_step`.
What crosses the chip is not modelled, nor that a core may be full of synapses before it is full of neurons.
"""

from __future__ import annotations

import math

from neurons.errors import UserError
from snn_nas.energy.activity import Activity, NodeActivity
from snn_nas.energy.profile import Profile
from snn_nas.graph import Graph


def places(graph: Graph) -> dict[str, int]:
    """For each node, the layers on the longest path from the input to it, itself included."""
    found: dict[str, int] = {}
    for node in graph:
        found[node.name] = max((found[name] for name in node.inputs), default=0) + (node.op == "layer")
    return found


def latency_steps(graph: Graph) -> int:
    """T + depth - 1 time steps."""
    return graph.T + places(graph)[graph.nodes[-1].name] - 1


def latency_us(activity: Activity, graph: Graph, profile: Profile) -> float:
    """Microseconds per inference of the network with this graph that was seen to do `activity`.

    Raises:
        UserError: the profile does not say how long a step takes.
    """
    if not profile.timed:
        raise UserError(f"profile {profile.name!r} has no figure for the time of a step: {profile.source}")
    place = places(graph)
    steps = latency_steps(graph)
    busiest = (
        max(_work(done, step - place[done.name] + 1, profile) for done in activity.layers) for step in range(steps)
    )
    return (steps * (profile.t_step or 0.0) + math.fsum(busiest)) * 1e-3


def _work(done: NodeActivity, step: int, profile: Profile) -> float:
    """Nanoseconds of a layer's cores in one of its own time steps; outside of them its neurons are updated alone."""
    operations = done.synops[step] + done.macs[step] if 0 <= step < len(done.synops) else 0.0
    cores = max(1, math.ceil(done.neurons / profile.core_neurons)) if profile.core_neurons else 1
    return (operations * (profile.t_synop or 0.0) + done.neurons * (profile.t_neuron_update or 0.0)) / cores
