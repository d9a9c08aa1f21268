"""Claim: counting synaptic operations costs at most 15 % of a forward pass, and equals both outside counters.

Conditions: a spiking chain of four 3x3 convolutions (64, 64, strided 128, 128 channels) on latency-coded images, so
that every input is binary, float32, evaluation mode, no gradient. SpikingJelly's SynOpCounter and NeuroBench's
SynapticOperations need modules that they know, so they run on the same layers and weights as plain torch modules; each
ratio is to the plain forward pass of the same modules. Times are CPU seconds of the process, which waiting for a busy
machine does not lengthen; the three take turns, and the least of the turns counts, for pass and count alike.

    python benchmarks/energy_counter.py --threads 1 --out benchmarks/results/energy_counter.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from common import record
from torch import Tensor, nn

from snn_nas import network
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
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model = TorchModel(plain)
    model.register_hooks()
    out = model(images)
    found = SynapticOperations()(model, out, (images, torch.zeros(len(images))))
    model.close_hooks()
    return round(found["Effective_ACs"] * len(images))


def disagreements() -> dict[str, dict[str, int]]:
    """Where inputs are not binary: every counter, and brute force, which convolves "is not zero" with ones."""
    synapse = Synapse("conv", 1, 2, 3, 1, 1)
    dots = (torch.rand(1, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    cases = {
        "constant image, all ones": ("direct", torch.ones(1, 1, 8, 8)),
        "graded spikes, 0 to 3": ("events", dots * 3 - (dots.cumsum(-1) % 2) * dots),
        "after an average pool": ("events", nn.functional.avg_pool2d(dots[0], 2).unsqueeze(0)),
    }
    found = {}
    for case, (encoding, x) in cases.items():
        first = Node("input", "input", (), (1, *x.shape[-2:]), encoding=encoding)
        last = Node("readout", "layer", ("input",), synapse.out_shape(first.shape), synapse, Term("delta"))
        graph = Graph((first, last), 1, 2)
        counter = Counter(graph)
        counter.see(last, [x], torch.zeros(1, 1, 1), encoding == "direct")
        conv, frames = nn.Conv2d(1, 2, 3, padding=1, bias=False), x.view(1, 1, *x.shape[-2:])
        ones = nn.functional.conv2d((frames != 0).double(), torch.ones(2, 1, 3, 3).double(), padding=1)
        activity = counter.activity()
        found[case] = {
            "brute_force": int(ones.sum()),
            "ours": round(activity.total("synops") + activity.total("macs")),
            "spikingjelly_synops": spikingjelly(conv, frames),
            "neurobench_acs": neurobench(nn.Sequential(conv), frames),
        }
    return found


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
        "not_binary": disagreements(),
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
