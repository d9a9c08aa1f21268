"""Claim: our fused LIF runs forward and backward on a CPU at least 6 times faster than SpikingJelly's and snnTorch's.

Conditions: x = [4, 32, 64, 32, 32] float32, ATan, soft and detached reset, tau 2; everyone in the same process, taking
turns, the median and the best of `--rounds` rounds. "Bytes" is the time to copy as much memory as our kernels must
move: forward x and s, backward x, ds and dx. "Step" is one SGD step of a two-layer spiking conv net.

    python benchmarks/lif.py --threads 2 --out benchmarks/results/lif_cpu.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from neurons import population

Run = Callable[[Tensor], Tensor]


def spikingjelly() -> Run:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0, v_reset=None, detach_reset=True, surrogate_function=surrogate.ATan(), step_mode="m", backend="torch"
    )

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return run


def snntorch() -> Run:
    import snntorch as snn

    leaky = snn.Leaky(beta=0.5, spike_grad=snn.surrogate.atan(), reset_mechanism="subtract")

    def run(x: Tensor) -> Tensor:
        potential, spikes = leaky.reset_mem(), []
        for current in x:
            s, potential = leaky(0.5 * current, potential)
            spikes.append(s)
        return torch.stack(spikes)

    return run


def peers() -> dict[str, Run]:
    ours = {
        name: population.build("lif", backend=backend) for name, backend in (("ours", "fused"), ("plain_loop", "plain"))
    }
    return {**ours, "spikingjelly_torch": spikingjelly(), "snntorch_leaky": snntorch()}


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each job; they take turns, so that a busy machine hurts all alike."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds + 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            if turn >= 2:
                times[name].append((time.perf_counter() - start) * 1e3)
    return {
        name: {"median_ms": round(statistics.median(each), 3), "best_ms": round(min(each), 3)}
        for name, each in times.items()
    }


def ratios(times: dict[str, dict[str, float]], names: Iterable[str]) -> dict[str, float]:
    """How many times longer than ours."""
    return {name: round(times[name]["median_ms"] / times["ours"]["median_ms"], 2) for name in names if name != "ours"}


def forward_job(run: Run, x: Tensor) -> Callable[[], object]:
    @torch.no_grad()
    def job() -> Tensor:
        return run(x)

    return job


def both_job(run: Run, x: Tensor, grad: Tensor) -> Callable[[], object]:
    leaf = x.clone().requires_grad_()

    def job() -> None:
        leaf.grad = None
        run(leaf).backward(grad)

    return job


def copy_job(x: Tensor, copies: int) -> Callable[[], object]:
    """Read and write `copies` tensors of x's size into memory that is already there."""
    there = torch.empty_like(x)

    def job() -> None:
        for _ in range(copies):
            there.copy_(x)

    return job


class Net(nn.Module):
    """Two spiking conv layers and a linear readout of the mean rate, on 16 x 16 images."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.conv1, self.norm1 = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.norm2 = nn.Conv2d(32, 32, 3, padding=1, bias=False, stride=2), nn.BatchNorm2d(32)
        self.readout = nn.Linear(32 * 64, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm1(self.conv1(images))
        s = self.run(x.expand(4, *x.shape))
        s = self.run(self.norm2(self.conv2(s.flatten(0, 1))).unflatten(0, (4, -1)))
        return self.readout(s.mean(0).flatten(1))


def step_job(run: Run) -> Callable[[], object]:
    torch.manual_seed(0)
    net, images, labels = Net(run), torch.rand(32, 3, 16, 16), torch.arange(32) % 10
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)

    def job() -> None:
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimiser.step()

    return job


def conditions(args: argparse.Namespace) -> dict[str, object]:
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
        "shape": args.shape,
        "rounds": args.rounds,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "spikingjelly", "snntorch", "snn-nas")},
        "commit": head.stdout.strip() or None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs="+", default=[4, 32, 64, 32, 32], help="T, B and the rest")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="write the record there too")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    record: dict[str, object] = {"benchmark": "lif", "conditions": conditions(args)}
    x, runs = torch.randn(args.shape), peers()
    grad = torch.rand_like(x)
    expected = runs["spikingjelly_torch"](x)
    record["spikes_that_differ_from_spikingjelly"] = {
        name: int((run(x) != expected).sum()) for name, run in runs.items() if name != "spikingjelly_torch"
    }
    # the kernels move 2 tensors forward, 3 backward; a copy moves 2: times 2 here and halved below, for whole copies
    forward = interleaved({n: forward_job(r, x) for n, r in runs.items()} | {"bytes": copy_job(x, 1)}, args.rounds)
    both = interleaved(
        {n: both_job(r, x, grad) for n, r in runs.items()} | {"bytes_twice": copy_job(x, 5)}, args.rounds
    )
    twice = both.pop("bytes_twice")
    both["bytes"] = {key: round(value / 2, 3) for key, value in twice.items()}
    step = interleaved({n: step_job(r) for n, r in runs.items() if n != "snntorch_leaky"}, args.rounds)
    for name, times in (("forward", forward), ("forward_backward", both), ("step", step)):
        record[name] = {"times": times, "times_ours": ratios(times, times)}
    text = json.dumps(record, indent=2)
    print(text)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
