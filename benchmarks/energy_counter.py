"""Claim: counting synaptic operations costs at most 15 % of a forward pass, and equals both outside counters.

Conditions: a spiking chain of four 3x3 convolutions (64, 64, strided 128, 128 channels) on latency-coded images, so
that every input is binary, float32, evaluation mode, no gradient. SpikingJelly's SynOpCounter and NeuroBench's
SynapticOperations need modules that they know, so they run on the same layers and weights as plain torch modules; each
ratio is to the plain forward pass of the same modules. Times are CPU seconds of the process, which waiting for a busy
machine does not lengthen; the three take turns, and the least of the turns counts, for pass and count alike.

    python -m benchmarks.energy_counter --threads 1 --out benchmarks/results/energy_counter.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import record
from snn_nas import network
from snn_nas.energy.activity import Activity, Conventions
from snn_nas.energy.counter import Counter, counting
from snn_nas.genotype import Term, parse
from snn_nas.graph import Graph, Node, Synapse

GENOTYPE = (
    "chain(T=4,encoding=latency) { conv(c=64)@frsf/lif; conv(c=64)@frsf/lif; conv(c=128,down=stride)@frsf/lif; "
    "conv(c=128)@frsf/lif; readout(grid=32)@delta~usf }"
)
LIMIT = 1.15


class Plain(nn.Module):
    """The same network of modules that the outside counters recognise, time folded into the batch around each."""

    def __init__(self, net: network.Network) -> None:
        super().__init__()
        self.encoding = net.encoding
        self.synapses = nn.ModuleList(layer.synapse for layer in net)
        self.norms = nn.ModuleList(layer.norm for layer in net)
        self.populations = nn.ModuleList(layer.population or nn.Identity() for layer in net)

    def forward(self, images: Tensor) -> Tensor:
        """Currents `[T, B, classes]` of images `[B, C, H, W]`."""
        x = self.encoding(images)
        for synapse, norm, population in zip(self.synapses, self.norms, self.populations, strict=True):
            x = x.flatten(2) if isinstance(synapse, nn.Linear) else x
            x = population(norm(synapse(x.flatten(0, 1))).unflatten(0, x.shape[:2]))
        return x


def ours(net: network.Network, images: Tensor) -> int:
    with counting(net) as counter:
        net(images)
    return round(counter.activity().total("synops") * len(images))


def spikingjelly(plain: nn.Module, images: Tensor) -> int:
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    counter = SynOpCounter()
    with DispatchCounterMode([counter]):
        plain(images)
    return int(counter.get_total())


def neurobench(plain: nn.Module, images: Tensor) -> int:
    return round(neurobench_counts(plain, images)["Effective_ACs"] * len(images))


def neurobench_counts(plain: nn.Module, images: Tensor) -> dict[str, float]:
    """What it reports, per image."""
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model = TorchModel(plain)
    model.register_hooks()
    out = model(images)
    found: dict[str, float] = SynapticOperations()(model, out, (images, torch.zeros(len(images))))
    model.close_hooks()
    return found


def three_counters() -> dict[str, dict[str, float]]:
    """One 3x3 convolution of one to two channels on 4x4, what it is fed, and what everybody counts.

    Brute force visits every output and every tap: how many of them read a value that is not zero, and how many lie
    inside of the image at all. An outside counter says "accumulation" or "multiply-accumulate" from the data that it
    sees, ours from the graph.
    """
    dots = torch.zeros(1, 1, 4, 4)
    dots[0, 0, 0, 0] = dots[0, 0, 1, 1] = dots[0, 0, 3, 2] = 1.0
    others = torch.zeros(1, 1, 4, 4)
    others[0, 0, 0, 0] = others[0, 0, 2, 0] = 1.0  # one of them where there is one already
    ramp = torch.arange(16.0).view(1, 1, 4, 4) / 15
    cases: dict[str, tuple[Any, ...]] = {
        "spikes": ("poisson", dots, False),
        "spikes, with a bias": ("poisson", dots, True),
        "graded spikes (2, 1, 3)": ("events", dots * torch.tensor([2.0, 1.0, 3.0, 1.0]), False),
        "spikes after a 2x2 average pool": ("poisson", dots, False, 2),
        "a residual sum of two spike trains": ("events", dots + others, False),
        "an image, all ones": ("direct", torch.ones(1, 1, 4, 4), False),
        "an image, all 0.5": ("direct", torch.full((1, 1, 4, 4), 0.5), False),
        "an image with one black pixel": ("direct", ramp, False),
    }
    return {case: _count_by_all(*given) for case, given in cases.items()}


def _count_by_all(encoding: str, frames: Tensor, bias: bool, pool: int = 0) -> dict[str, float]:
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, MACCounter, SynOpCounter

    synapse, nodes = Synapse("conv", 1, 2, 3, 1, 1), [Node("input", "input", (), (1, 4, 4), encoding=encoding)]
    if pool:
        nodes.append(Node("pool", "avgpool", ("input",), (1, 4 // pool, 4 // pool), kernel=pool))
        frames = nn.functional.avg_pool2d(frames, pool)
    below = nodes[-1]
    last = Node("readout", "layer", (below.name,), synapse.out_shape(below.shape), synapse, Term("delta"))
    graph, static = Graph((*nodes, last), 1, 2), encoding == "direct"

    def counted(conventions: Conventions) -> Activity:
        counter = Counter(graph, conventions)
        counter.see(last, [frames if static else frames[None]], torch.zeros(1, 1, 1), static)
        return counter.activity()

    ours = counted(Conventions())
    conv = nn.Conv2d(1, 2, 3, padding=1, bias=bias)
    outside: dict[str, float] = {}
    for name, kind in (("spikingjelly_acs", SynOpCounter), ("spikingjelly_macs", MACCounter)):
        theirs = kind()
        with DispatchCounterMode([theirs]):
            conv(frames)
        outside[name] = int(theirs.get_total())
    found = neurobench_counts(nn.Sequential(conv), frames)
    return {
        **brute_force(frames[0, 0]),  # as the convolution sees it
        "ours_acs": ours.total("synops"),
        "ours_macs": ours.total("macs"),
        "ours_biases": ours.total("biases") if bias else 0,
        "ours_units": counted(Conventions(graded="units")).total("synops"),
        **outside,
        "neurobench_acs": found["Effective_ACs"],
        "neurobench_macs": found["Effective_MACs"],
    }


def brute_force(image: Tensor) -> dict[str, int]:
    """Taps of a 3x3 convolution with a border of one to two channels, `image` is `[H, W]`."""
    H, W = image.shape
    taps = [(i + a - 1, j + b - 1) for i in range(H) for j in range(W) for a in range(3) for b in range(3)]
    inside = [at for at in taps if 0 <= at[0] < H and 0 <= at[1] < W]
    return {"not_zero": 2 * sum(bool(image[at] != 0) for at in inside), "connections": 2 * len(inside)}


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


@torch.no_grad()
def measure(batch: int, turns: int) -> dict[str, object]:
    torch.manual_seed(0)
    net = network.build(parse(GENOTYPE), (3, 32, 32), 10)
    for _ in range(10):
        net(torch.rand(8, 3, 32, 32))
    net.eval()
    plain, images = Plain(net).eval(), torch.rand(batch, 3, 32, 32)
    assert torch.equal(net(images), plain(images))
    counters: dict[str, tuple[Callable[[], int], Callable[[], object]]] = {
        "ours": (lambda: ours(net, images), lambda: net(images)),
        "spikingjelly": (lambda: spikingjelly(plain, images), lambda: plain(images)),
        "neurobench": (lambda: neurobench(plain, images), lambda: plain(images)),
    }
    counts = {name: run() for name, (run, _) in counters.items()}
    counted: dict[str, list[float]] = {name: [] for name in counters}
    bare: dict[str, list[float]] = {name: [] for name in counters}
    for _ in range(turns):
        for name, (count, forward) in counters.items():
            # The cheap one is repeated, because its overhead is of the size of the machine's noise.
            for _ in range(4 if name == "ours" else 1):
                bare[name].append(seconds(forward))
                counted[name].append(seconds(count))
    return {
        "ratio": {name: round(min(counted[name]) / min(bare[name]), 3) for name in counters},
        "ratio_of_medians": {
            name: round(statistics.median(counted[name]) / statistics.median(bare[name]), 3) for name in counters
        },
        "synaptic_operations": counts,
        "three_counters": three_counters(),
        "equal": len(set(counts.values())) == 1,
        "forward_ms": {name: round(1e3 * min(values), 1) for name, values in bare.items()},
        "genotype": GENOTYPE,
        "batch": batch,
        "turns": turns,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measure(args.batch, args.turns)
    holds = bool(found["equal"]) and found["ratio"]["ours"] <= LIMIT  # type: ignore[index]
    record("energy_counter", {"limit": LIMIT, "holds": holds, **found}, args.out)


if __name__ == "__main__":
    main()
