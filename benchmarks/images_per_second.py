"""Claim: training goes through at least as many images a second as a plain SpikingJelly script of the same network.

Conditions: three spiking convolutions with batch norm and two pools, LIF (tau 2, threshold 0.5, hard reset, ATan), a
linear readout, T=4, AdamW, cross-entropy of the mean over time, one batch of random 32x32 colour images over and over;
float32 on a CPU, bfloat16 products on a GPU, where SpikingJelly runs by its CuPy kernels if they are there. The script
is as its tutorials have it (multi-step modules, `reset_net` after each batch), but that it computes the first layer's
current once and not T times. Both start from the same weights, and their first losses agree. They take turns,
A B A B ..., in one process; on a CPU seconds are those of the process on one thread, so that whoever else runs counts
little. The ratio is ours over theirs.
"""

from __future__ import annotations

import argparse
import inspect
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import record
from neurons.errors import UserError
from snn_nas import network as networks
from snn_nas.genotype import parse
from snn_nas.learning import learn
from snn_nas.optimisers import Optimisers
from snn_nas.training import Training

T, RATE = 4, 2e-3
THRESHOLD = 0.5
NEURON = f"lif(threshold={THRESHOLD},reset=hard)"  # SpikingJelly's reset
LAYERS = f"conv(c={{a}},down=avg)@bp/{NEURON}; conv(c={{b}},down=avg)@bp/{NEURON}; conv(c={{b}})@bp/{NEURON}"
Step = Callable[[], Tensor]


class Plain(nn.Module):
    """The network as a SpikingJelly script has it."""

    def __init__(self, width: int, backend: str) -> None:
        super().__init__()
        from spikingjelly.activation_based import layer, neuron, surrogate

        def lif() -> nn.Module:
            options: dict[str, Any] = {"backend": backend, "detach_reset": True, "v_threshold": THRESHOLD}
            return neuron.LIFNode(step_mode="m", surrogate_function=surrogate.ATan(), **options)

        def conv(inputs: int, outputs: int) -> list[nn.Module]:
            made = layer.Conv2d(inputs, outputs, 3, padding=1, bias=False, step_mode="m")
            return [made, layer.BatchNorm2d(outputs, step_mode="m"), lif()]

        a, b = width, 2 * width
        self.first = nn.Sequential(nn.Conv2d(3, a, 3, padding=1, bias=False), nn.BatchNorm2d(a))
        self.rest = nn.Sequential(
            *(lif(), layer.AvgPool2d(2, step_mode="m")),
            *(*conv(a, b), layer.AvgPool2d(2, step_mode="m")),
            *conv(b, b),
            *(layer.AvgPool2d(8, step_mode="m"), layer.Flatten(step_mode="m")),
            layer.Linear(b, 10, step_mode="m"),
        )

    def forward(self, images: Tensor) -> Tensor:
        currents: Tensor = self.rest(self.first(images).unsqueeze(0).repeat(T, 1, 1, 1, 1))
        return currents


def plain(width: int, batch: tuple[Tensor, Tensor], precision: str, weights: list[Tensor]) -> tuple[Step, str]:
    """One step of the script, and what runs its neurons."""
    from spikingjelly.activation_based import functional, neuron

    images, labels = batch
    backend = "torch"
    if images.is_cuda and "backend" in inspect.signature(neuron.LIFNode.__init__).parameters:
        backend = _usable()
    model = Plain(width, backend).to(images.device)
    with torch.no_grad():
        for parameter, weight in zip((p for p in model.parameters() if p.dim() > 1), weights, strict=True):
            parameter.copy_(weight)
        model.rest[-1].bias.zero_()  # type: ignore[operator, union-attr]
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)

    def step() -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            currents = model(images)
        loss = F.cross_entropy(currents.float().mean(0), labels)
        loss.backward()
        optimiser.step()
        functional.reset_net(model)
        return loss.detach()

    return step, backend


def ours(width: int, batch: tuple[Tensor, Tensor], precision: str, backend: str) -> tuple[Step, list[Tensor], str]:
    """One step of ours, its first weights, and what runs its neurons."""
    images, labels = batch
    text = f"chain(T={T}){{ {LAYERS.format(a=width, b=2 * width)}; readout(grid=1)@delta~exact }}"
    network = networks.build(parse(text), (3, 32, 32), 10, backend=backend).to(images.device).train()
    training = Training(precision=precision)
    optimisers = Optimisers(list(network), training, 10**6)
    weights = [layer.synapse.weight.detach().clone() for layer in network]

    def step() -> Tensor:
        loss = learn(network, images, labels, training)
        optimisers.step()
        return loss

    population = next(iter(network)).population
    assert population is not None
    return step, weights, population.backend


def _usable() -> str:
    """SpikingJelly's fastest backend here."""
    try:
        import cupy

        return "cupy" if cupy.cuda.is_available() else "torch"
    except ImportError:
        return "torch"


def seconds(step: Step, steps: int, device: str) -> float:
    """Of so many steps."""
    clock = time.perf_counter if device == "cuda" else time.process_time
    started = clock()
    for _ in range(steps):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def compare(
    width: int, size: int, steps: int, rounds: int, device: str, precision: str, backend: str
) -> dict[str, Any]:
    """Images a second of both, by turns."""
    torch.manual_seed(0)
    batch = torch.rand(size, 3, 32, 32, device=device), torch.arange(size, device=device) % 10
    our_step, weights, our_backend = ours(width, batch, precision, backend)
    their_step, their_backend = plain(width, batch, precision, weights)
    losses = float(our_step()), float(their_step())
    for step in (our_step, their_step):
        seconds(step, 1 if device == "cpu" else 10, device)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        taken[0].append(seconds(our_step, steps, device))
        taken[1].append(seconds(their_step, steps, device))
    mine, theirs = (steps * size / statistics.median(each) for each in taken)
    return {
        "width": width, "batch": size, "T": T, "precision": precision, "first_losses": losses,
        "ours": {"images_per_second": round(mine, 1), "neurons": our_backend},
        "spikingjelly": {"images_per_second": round(theirs, 1), "neurons": their_backend},
        "ratio": round(mine / theirs, 3), "worst_ratio": round(min(t / o for o, t in zip(*taken, strict=True)), 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--width", type=int, help="of the first layer; 32 on a CPU, 64 on a GPU")
    parser.add_argument("--batch", type=int, help="32 on a CPU, 256 on a GPU")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="of each in a round; 1 on a CPU, 30 on a GPU")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    gpu = options.device == "cuda"
    if gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(1)
    width, size = options.width or (64 if gpu else 32), options.batch or (256 if gpu else 32)
    steps = options.steps or (30 if gpu else 1)
    backends = ("auto", "fused") if gpu else ("auto",)
    table = []
    for backend in backends:
        for precision in ("float32", "bfloat16") if gpu else ("float32",):
            try:
                table.append(compare(width, size, steps, options.rounds, options.device, precision, backend))
            except UserError as error:
                print(f"{backend}: {error}", flush=True)
                continue
            print(table[-1], flush=True)
    record("images_per_second", {"comparisons": table}, options.out, device=options.device)


if __name__ == "__main__":
    main()
