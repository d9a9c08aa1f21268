"""Claim: carrying an error down by any transport takes at most 1.1 times the backward pass of back-propagation.

Conditions: the chain of `fashion_chain.py` (32, 64 and 64 channels of 3x3, T = 4) on 64 random images of 28x28, all
hidden layers and the readout under one transport; the backward pass alone, after a forward pass that is not timed.
Transports take turns in one process, so that a busy machine hurts all alike; medians of the ratios to `exact` within a
round. Redrawing B after a step (`brsf`) and following W (`kp`) are timed too, as `step`: backward and optimiser.

    python -m benchmarks.transport --out benchmarks/results/transport.json
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn import functional as F

from benchmarks.common import record
from snn_nas import network as networks
from snn_nas.genotype import parse
from snn_nas.optimisers import Optimisers
from snn_nas.training import Training

TRANSPORTS = ("exact", "fa", "usf", "frsf", "brsf", "kp")
CHAIN = (
    "chain(T=4){{conv(c=32,down=avg)@{r}/lif; conv(c=64,down=avg)@{r}/lif; conv(c=64)@{r}/lif; "
    "readout(grid=7)@delta~{t}}}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    images, labels = torch.rand(64, 1, 28, 28, device=options.device), torch.arange(64, device=options.device) % 10
    contestants = {}
    for name in TRANSPORTS:
        torch.manual_seed(0)
        text = CHAIN.format(r="bp" if name == "exact" else name, t=name)
        network = networks.build(parse(text), (1, 28, 28), 10).to(options.device)
        contestants[name] = network, Optimisers(list(network), Training(), 10_000)

    def clock() -> float:
        if options.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    times: dict[str, dict[str, list[float]]] = {name: {"backward": [], "step": []} for name in TRANSPORTS}
    for turn in range(options.rounds + 2):
        for name, (network, optimisers) in contestants.items():
            loss = F.cross_entropy(network(images).mean(0), labels)
            start = clock()
            loss.backward()
            backward = clock() - start
            optimisers.step()
            step = clock() - start
            if turn >= 2:
                times[name]["backward"].append(backward)
                times[name]["step"].append(step)
    ratios = {
        name: {
            what: round(statistics.median(a / b for a, b in zip(took[what], times["exact"][what], strict=True)), 3)
            for what in took
        }
        for name, took in times.items()
    }
    milliseconds = {name: round(1e3 * statistics.median(took["backward"]), 2) for name, took in times.items()}
    result = {"over_exact": ratios, "backward_ms": milliseconds, "rounds": options.rounds, "threads": options.threads}
    record("transport", result, options.out, options.device)


if __name__ == "__main__":
    main()
