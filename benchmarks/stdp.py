"""Claim: an STDP update is at least 40 times faster than SpikingJelly's STDPLearner, and takes at most twice a forward.

Conditions: conv 64 to 64, 3x3, 32 x 32, T = 4, batch 16, binary inputs at 20 %, CPU, float32. Ours is the whole update:
competition, traces, the pair sum, decorrelation of the change where switched on, per-neuron scaling. "Bare" is the pair
sum alone, which is what SpikingJelly's learner does. Forward is the layer's own, synapse, norm and neurons, without
gradients. All take turns in one process; the median of `--rounds` counts. Both sums are compared
before timing; at tau = 2 every term is a sum of powers of 2, so that they should be equal to the last bit.

    python -m benchmarks.stdp --threads 2 --out benchmarks/results/stdp_cpu.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.common import record
from neurons import population
from rules.layer import Layer
from rules.registry import pair
from rules.rule import Signals
from rules.stdp import window
from rules.synapse import correlate

T, BATCH, CHANNELS, SIDE, TAU = 4, 16, 64, 32, 2.0


def layer(**settings: str | float) -> Layer:
    torch.manual_seed(0)
    synapse = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    shape = (CHANNELS, SIDE, SIDE)
    return Layer(
        synapse, population.build("lif"), pair("stdp"), shape=shape, T=T, receives=False, classes=10, settings=settings
    )


def spikingjelly(synapse: nn.Conv2d, pre: Tensor, post: Tensor) -> Callable[[], Tensor]:
    from spikingjelly.activation_based import learning, neuron

    node = neuron.LIFNode(step_mode="m")
    learner = learning.STDPLearner("m", synapse, node, TAU, TAU, torch.ones_like, torch.ones_like)

    def job() -> Tensor:
        learner.reset()
        learner.in_spike_monitor.records.append(pre)
        learner.out_spike_monitor.records.append(post)
        found: Tensor = learner.step(on_grad=False)
        return found.detach()

    return job


def measure(rounds: int, peer_rounds: int) -> dict[str, object]:
    """Milliseconds of each job, their ratios, and how far the two pair sums are apart."""
    plain, full, soft = layer(decorrelate=0.0), layer(), layer(decorrelate=0.0, form="multiplicative")
    pre = (torch.rand(T, BATCH, CHANNELS, SIDE, SIDE) < 0.2).float()
    nothing = Signals.silent(BATCH, 10, pre)
    for each in (plain, full, soft):
        with torch.no_grad():
            post = each(pre)
    # SpikingJelly's pairs: simultaneous spikes count on both sides, which takes the diagonal away
    kernel = (window(T, TAU, 1.0, 1.0) - torch.eye(T, dtype=torch.float64)).float()

    def bare() -> Tensor:
        return correlate(plain.synapse, (kernel @ pre.flatten(1)).view_as(pre).flatten(0, 1), post.flatten(0, 1))

    @torch.no_grad()
    def forward() -> Tensor:
        out: Tensor = plain(pre)
        return out

    peer = spikingjelly(plain.synapse, pre, post)
    ours, theirs = bare(), peer()
    jobs: dict[str, tuple[Callable[[], object], int]] = {
        "forward": (forward, rounds),
        "pair_sum": (bare, rounds),
        "update": (lambda: plain.rule.update(plain, nothing), rounds),
        "update_decorrelated": (lambda: full.rule.update(full, nothing), rounds),
        "update_multiplicative": (lambda: soft.rule.update(soft, nothing), rounds),
        "spikingjelly": (peer, peer_rounds),
    }
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 1):  # the first warms up
        for name, (job, most) in jobs.items():
            if turn <= most:
                start = time.perf_counter()
                job()
                if turn:
                    times[name].append((time.perf_counter() - start) * 1e3)
    median = {name: statistics.median(each) for name, each in times.items()}
    return {
        "largest_relative_difference": float((ours - theirs).abs().max() / theirs.abs().max()),
        "median_ms": {name: round(value, 2) for name, value in median.items()},
        "runs": {name: len(each) for name, each in times.items()},
        "spikingjelly_over": {
            name: round(median["spikingjelly"] / median[name], 1)
            for name in ("pair_sum", "update", "update_decorrelated")
        },
        "over_forward": {name: round(median[name] / median["forward"], 2) for name in median if name != "forward"},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--peer-rounds", type=int, default=2, help="of SpikingJelly, which takes seconds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="file for the JSON record")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    load = round(os.getloadavg()[0], 2)
    record("stdp", {"load_before": load} | measure(args.rounds, args.peer_rounds), args.out)


if __name__ == "__main__":
    main()
