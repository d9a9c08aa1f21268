"""Claim: step by step, ottt and eprop train in memory that is flat in T: from T=4 to T=32 its peak moves by under 10 %.

Conditions: a chain of three convolutions (32 channels of 3x3) on 32x32 colour images, batches of 16, all hidden layers
under one rule, bp beside them. The peak is the most that torch's allocator had out at once during a batch, over what it
had out before: as it told the profiler on a CPU, by its own count on a GPU. (Resident memory would tell of what the C
library keeps for later.) Seconds are those of another batch, without the profiler: of one core's time on a CPU.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from benchmarks.common import record
from benchmarks.memory import peak
from snn_nas import network as networks
from snn_nas.genotype import parse
from snn_nas.network import Network
from snn_nas.training import Training, learn

CHAIN = (
    "chain(T={T}) {{ conv(c=32)@{rule}/lif; conv(c=32)@{rule}/lif; conv(c=32)@{rule}/lif; readout@delta~{transport} }}"
)
RULES = {"ottt": ("ottt~exact", "exact"), "eprop": ("eprop", "none"), "bp": ("bp", "exact")}
STEPS = (4, 8, 16, 32)


def batch(network: Network, images: Tensor, labels: Tensor) -> None:
    network.zero_grad(set_to_none=True)
    learn(network, images, labels, Training())
    for layer in network:
        layer.after_step(0.0)


def worst(network: Network, images: Tensor, labels: Tensor) -> int:
    """Bytes at the worst moment of a batch, over those before it."""
    if not images.is_cuda:
        return peak(lambda: batch(network, images, labels))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    batch(network, images, labels)
    return torch.cuda.max_memory_allocated() - before


def measure(rule: str, T: int, device: str) -> dict[str, float]:
    torch.manual_seed(0)
    name, transport = RULES[rule]
    network = networks.build(parse(CHAIN.format(T=T, rule=name, transport=transport)), (3, 32, 32), 10).to(device)
    images, labels = torch.rand(16, 3, 32, 32, device=device), torch.randint(10, (16,), device=device)
    batch(network, images, labels)
    clock = time.perf_counter if device == "cuda" else time.process_time
    started = clock()
    batch(network, images, labels)
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = clock() - started
    return {"peak_MB": round(worst(network, images, labels) / 1e6, 2), "seconds": round(seconds, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, dict[str, object]] = {}
    for rule in RULES:
        rows = {T: measure(rule, T, options.device) for T in STEPS}
        ratio = rows[STEPS[-1]]["peak_MB"] / rows[STEPS[0]]["peak_MB"]
        table[rule] = {**{f"T={T}": row for T, row in rows.items()}, "peak_T32_over_T4": round(ratio, 3)}
        print(rule, table[rule], flush=True)
    record("online_memory", {"rules": table}, options.out, device=options.device)


if __name__ == "__main__":
    main()
