"""Claim: our fused LIF runs forward and backward on a CPU at least 6 times faster than SpikingJelly's and snnTorch's.

Conditions: x = [4, 32, 64, 32, 32] float32, ATan, soft and detached reset, tau 2. Everyone has a process of their own,
because our extension tells the allocator to keep freed pages, which helps whoever shares its process: `..._kept` are
the peers so helped. They take turns, so that a busy machine hurts all alike; a turn is one run to wake up and three
that count. "Bytes" reads and writes, in memory that is already there, what our kernels must: forward x and s, backward
x, ds and dx. "Online" is the same sequence for a rule that learns online: T single steps, each with a backward pass of
its own that ends at its current. "Step" is one SGD step of a small spiking conv net.

    python -m benchmarks.lif --threads 2 --out benchmarks/results/lif_cpu.json
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import statistics
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import record
from neurons import population

Run = Callable[[Tensor], Tensor]
Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
"""Spikes and detached state of one step's current and the state before; None is rest."""


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


PEERS: dict[str, Callable[[], Run]] = {
    "ours": lambda: population.build("lif", backend="fused"),
    "plain_loop": lambda: population.build("lif", backend="plain"),
    "spikingjelly_torch": spikingjelly,
    "snntorch_leaky": snntorch,
}


def spikingjelly_step() -> Step:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(tau=2.0, v_reset=None, detach_reset=True, surrogate_function=surrogate.ATan())

    def step(x: Tensor, state: object) -> tuple[Tensor, object]:
        if state is None:
            functional.reset_net(node)
        s = node(x)
        functional.detach_net(node)
        return s, node

    return step


def snntorch_step() -> Step:
    import snntorch as snn

    leaky = snn.Leaky(beta=0.5, spike_grad=snn.surrogate.atan(), reset_mechanism="subtract")

    def step(x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        s, potential = leaky(0.5 * x, leaky.reset_mem() if state is None else state)
        return s, potential.detach()

    return step


STEPS: dict[str, Callable[[], Step]] = {
    "ours": lambda: population.build("lif", backend="fused").advance,
    "plain_loop": lambda: population.build("lif", backend="plain").advance,
    "spikingjelly_torch": spikingjelly_step,
    "snntorch_leaky": snntorch_step,
}
CONTENDERS = (*PEERS, "spikingjelly_torch_kept", "snntorch_leaky_kept", "bytes")


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


def online_job(step: Step, x: Tensor, grad: Tensor) -> Callable[[], object]:
    leaves = [current.clone().requires_grad_() for current in x]

    def job() -> None:
        state = None
        for leaf, error in zip(leaves, grad, strict=True):
            leaf.grad = None
            spikes, state = step(leaf, state)
            spikes.backward(error)

    return job


def bytes_jobs(x: Tensor, grad: Tensor) -> dict[str, Callable[[], object]]:
    """What our kernels must read and write, in memory that is already there: x to s; x and ds to dx."""
    spikes, grad_x = torch.empty_like(x), torch.empty_like(x)

    def both() -> None:
        spikes.copy_(x)
        torch.add(x, grad, out=grad_x)

    return {"forward": lambda: spikes.copy_(x), "forward_backward": both}


class Net(nn.Module):
    """Two spiking conv layers and a linear readout of the mean rate, on 16 x 16 images."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.conv1, self.norm1 = nn.Conv2d(3, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.norm2 = nn.Conv2d(32, 32, 3, padding=1, bias=False, stride=2), nn.BatchNorm2d(32)
        self.readout = nn.Linear(32 * 64, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, 10]` of images `[B, 3, 16, 16]`."""
        x = self.norm1(self.conv1(images))
        s = self.run(x, 4) if isinstance(self.run, population.Population) else self.run(x.expand(4, *x.shape))
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


def contend(name: str, shape: list[int], threads: int, pipe: Connection) -> None:
    """In a process of its own: report the spikes once, then run the job that is asked for and say how long it took."""
    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    x = torch.randn(shape)
    grad = torch.rand_like(x)
    if name == "bytes":
        jobs = bytes_jobs(x, grad)
        pipe.send(None)
    else:
        run = PEERS[name.removesuffix("_kept")]()
        if name.endswith("_kept"):
            population.build("lif", backend="fused")
        jobs = {"forward": forward_job(run, x), "forward_backward": both_job(run, x, grad)}
        jobs["online"] = online_job(STEPS[name.removesuffix("_kept")](), x, grad)
        jobs["step"] = step_job(run)
        with torch.no_grad():
            pipe.send(hashlib.sha256(run(x).to(torch.uint8).numpy().tobytes()).hexdigest())
    while (wanted := pipe.recv()) is not None:
        pipe.send([clock(jobs[wanted]) for _ in range(4)][1:] if wanted in jobs else None)


def clock(job: Callable[[], object]) -> float:
    """Milliseconds that one run takes."""
    start = time.perf_counter()
    job()
    return (time.perf_counter() - start) * 1e3


def measure(shape: list[int], threads: int, rounds: int) -> dict[str, object]:
    """Milliseconds and ratios of every contender at every job."""
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for name in CONTENDERS:
        pipes[name], theirs = spawn.Pipe()
        spawn.Process(target=contend, args=(name, shape, threads, theirs), daemon=True).start()
    spikes = {name: pipe.recv() for name, pipe in pipes.items()}
    found: dict[str, object] = {
        "spikes_equal_spikingjelly": {
            name: spikes[name] == spikes["spikingjelly_torch"] for name in PEERS if name != "spikingjelly_torch"
        }
    }
    for job in ("forward", "forward_backward", "online", "step"):
        times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for turn in range(rounds + 1):  # the first warms up
            for name, pipe in pipes.items():
                pipe.send(job)
                if (elapsed := pipe.recv()) is not None and turn:
                    times[name] += elapsed
        found[job] = summary({name: each for name, each in times.items() if each})
    for pipe in pipes.values():
        pipe.send(None)
    return found


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Per contender its milliseconds, and how many times ours they are."""
    ours = times["ours"]
    return {
        name: {
            "median_ms": round(statistics.median(each), 2),
            "best_ms": round(min(each), 2),
            "median_over_ours": round(statistics.median(each) / statistics.median(ours), 2),
            "best_over_ours": round(min(each) / min(ours), 2),
        }
        for name, each in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, nargs="+", default=[4, 32, 64, 32, 32], help="T, B and the rest")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", help="write the record there too")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    asked = {"shape": args.shape, "threads": args.threads, "rounds": args.rounds}
    load = round(os.getloadavg()[0], 2)
    record("lif", asked | {"load_before": load} | measure(args.shape, args.threads, args.rounds), args.out)


if __name__ == "__main__":
    main()
