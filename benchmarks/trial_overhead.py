"""Claim: a trial adds less than 10 % to the bare training loop that it runs.

Conditions: a three-layer bp chain (T=4) on Fashion-MNIST, 2,000 training and 1,000 validation images, 2 epochs. The
bare loop is what one would write by hand with the same neurons: forward, cross-entropy, backward, AdamW with a cosine,
validation after each epoch. The trial is `snn_nas.evaluation.evaluate`, with building, typed ends, and the counting of
synaptic operations. Runs alternate; the ratio is that of the medians of user + system time. Data are loaded before.

`--start` measures the other part of a trial's cost, what it pays before its first batch: a process of its own imports,
reads the images, builds the network and its optimisers. Claim: less than 3 s of user + system time, NNI's own left out.
Beside it stands a process that imports torch and does nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from itertools import pairwise

import torch
from torch import nn

from benchmarks.common import record
from neurons.population import Population, build
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.genotype import parse

GENOTYPE = parse(
    "chain(T=4){conv(c=32,down=avg)@bp/lif; conv(c=64,down=avg)@bp/lif; conv(c=64)@bp/lif; readout(grid=7)@delta~exact}"
)
SETTINGS = EvaluationSettings.of({"data": "fashion_mnist", "train": 2000, "validation": 1000, "epochs": 2})


START = f"""
import os, time
import snn_nas.nni.trial
from snn_nas import evaluation
settings = evaluation.EvaluationSettings.of({{"data": "fashion_mnist", "train": 2000, "validation": 1000, "epochs": 2}})
from snn_nas import training
def first_batch(*_):
    print(time.process_time(), flush=True)
    os._exit(0)
training.learn = first_batch
evaluation.evaluate(snn_nas.nni.trial.parse({str(GENOTYPE)!r}), settings, 0)
"""
TORCH = "import time, torch; print(time.process_time())"


def start(runs: int, out: str | None) -> None:
    """Processes up to their first batch, alternating with some that only import torch."""
    times: dict[str, list[float]] = {"torch": [], "trial": []}
    for _ in range(runs):
        for name, script in (("torch", TORCH), ("trial", START)):
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout.split()[-1]))
    medians = {name: statistics.median(values) for name, values in times.items()}
    record("trial_start", {"seconds": medians, "runs": runs, "claim": "trial below 3.0"}, out)


class Bare(nn.Module):
    """The same network by hand."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 32, 64, 64)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.neurons = nn.ModuleList(build("lif") for _ in range(3))
        self.readout = nn.Linear(64 * 49, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norms[0](self.convs[0]((x - 0.286) / 0.353))
        first = self.neurons[0]
        assert isinstance(first, Population)
        x = nn.functional.avg_pool2d(first(x, 4).flatten(0, 1), 2)
        x = self.norms[1](self.convs[1](x))
        x = nn.functional.avg_pool2d(self.neurons[1](x.unflatten(0, (4, -1))).flatten(0, 1), 2)
        x = self.norms[2](self.convs[2](x))
        return self.readout(self.neurons[2](x.unflatten(0, (4, -1))).flatten(2)).mean(0)


def bare(data: object) -> None:
    torch.manual_seed(0)
    network, order = Bare(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 2 * 32)
    for _ in range(2):
        network.train()
        for images, labels in data.train.batches(64, order):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimiser.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            sum((network(images).argmax(1) == labels).sum() for images, labels in data.validation.batches(250))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--start", action="store_true", help="the way to the first batch instead")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    if options.start:
        start(options.runs, options.out)
        return
    data = SETTINGS.load()
    times: dict[str, list[float]] = {"bare": [], "trial": []}
    for run in range(options.runs + 1):
        for name, action in (
            ("bare", lambda: bare(data)),
            ("trial", lambda: evaluate(GENOTYPE, SETTINGS, 0, data=data)),
        ):
            started = time.process_time()
            action()
            if run:  # the first of each warms up
                times[name].append(time.process_time() - started)
    medians = {name: statistics.median(values) for name, values in times.items()}
    record(
        "trial_overhead",
        {
            "seconds": medians,
            "ratio": medians["trial"] / medians["bare"],
            "claim": "ratio below 1.10",
            "runs": options.runs,
        },
        options.out,
    )


if __name__ == "__main__":
    main()
