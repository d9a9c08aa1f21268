"""What a trial reports of a network's cost: the numbers behind the search's objectives."""

from __future__ import annotations

import torch

from snn_nas.data import Split
from snn_nas.energy.activity import DEFAULT as EXACT
from snn_nas.energy.activity import Activity, Conventions
from snn_nas.energy.counter import count
from snn_nas.energy.inference import inference_energy
from snn_nas.energy.latency import latency_steps, latency_us
from snn_nas.energy.learning import learning_energy
from snn_nas.energy.profile import DEFAULT, Profile, profile
from snn_nas.network import Network

SAMPLES = 500
"""Inputs that are counted unless told otherwise."""


def measure(
    network: Network,
    split: Split,
    on: Profile | str = DEFAULT,
    *,
    samples: int = SAMPLES,
    batch_size: int = 100,
    device: torch.device | str = "cpu",
    conventions: Conventions = EXACT,
) -> dict[str, float]:
    """Count on the split's first `samples` inputs and price them; see `metrics` for what comes back.

    Raises:
        UserError: the profile has no figure for a synaptic operation.
    """
    chosen = Split(split.images[:samples], split.labels[:samples], split.scale)
    batches = (images for images, _ in chosen.batches(batch_size, device=device))
    return metrics(network, count(network, batches, conventions), on)


def metrics(network: Network, activity: Activity, on: Profile | str = DEFAULT) -> dict[str, float]:
    """A network's costs, given what it was seen to do.

    `energy_uJ` and `learning_energy_uJ` (per inference, per sample learned) on that profile, `synops` (synaptic
    operations per inference, multiply-accumulates included), `parameters` (synaptic weights and their norms, biases and
    neurons), `T`, `latency_steps` and `latency_us` (modelled, see `latency`), `locality` (share of learning weights
    without a transported error), `mean_rate` and `spikes_per_synapse`. Learning energy is absent where the profile has
    no figure for an update, `latency_us` where it has none for the time of a step.
    """
    priced = profile(on) if isinstance(on, str) else on
    graph = network.graph
    counts = network.parameter_counts()
    found = {
        "energy_uJ": inference_energy(activity, graph, priced).total_uJ,
        "synops": activity.total("synops") + activity.total("macs"),
        "parameters": float(counts["weights"] + counts["other"]),
        "T": float(graph.T),
        "latency_steps": float(latency_steps(graph)),
        "mean_rate": activity.mean_rate,
        "spikes_per_synapse": activity.spikes_per_synapse,
    }
    found["locality"] = network.credit.locality
    learning = learning_energy(activity, graph, priced)
    if "learning updates" not in learning.missing:
        found["learning_energy_uJ"] = learning.total_uJ
    if priced.timed:
        found["latency_us"] = latency_us(activity, graph, priced)
    return found
