"""Claim: a readout whose rate grows as its inputs get fewer learns in few steps what one rate for all does not.

The same networks, data, steps and seeds, twice: with the readout's declared optimiser, and with one rate whatever its
inputs. Three convolutions of 32 channels under one rule, or a mix, and a readout of 288 inputs, on Fashion-MNIST; and
three under back-propagation with a readout of 128 on CIFAR-10, for longer. Accuracies are of validation images, last
epoch; the test split stays shut.

    python -m benchmarks.readout_rate --out benchmarks/results/readout_rate.json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from benchmarks.common import record
from rules.registry import Optimiser
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.data import Dataset
from snn_nas.genotype import parse
from snn_nas.training import Training, accuracy, train

LAYER = "conv(c=32,down=avg,k=3)@{rule}/lif(reset=hard,threshold=0.5)"
RULES = {
    "frozen": ("frozen", "frozen", "frozen", ""),
    "stdp": ("stdp", "stdp", "stdp", ""),
    "local": ("local", "local", "local", ""),
    "frsf": ("gradient", "frsf", "frsf", "~frsf"),
    "stdp, frsf, frsf": ("stdp", "gradient", "frsf", "~frsf"),
    "bp": ("bp", "bp", "bp", "~exact"),
}
POOLED = (
    "chain(T=4,encoding=whiten){conv(c=32,k=3,down=avg)@bp/lif(threshold=0.5); "
    "conv(c=64,k=3,down=avg)@bp/lif(threshold=0.5); conv(c=128,k=3,down=avg)@bp/lif(threshold=0.5); "
    "readout(grid=1)@delta~exact}"
)


def cases() -> Iterator[tuple[str, str, str, dict[str, int], Training]]:
    """Name, genotype, data set, its sizes, and the training."""
    for name, (*rules, carrier) in RULES.items():
        layers = "; ".join(LAYER.format(rule=rule) for rule in rules)
        text = f"chain(T=4,encoding=whiten){{{layers}; readout(grid=3)@delta{carrier}}}"
        yield (
            name,
            text,
            "fashion_mnist",
            {"train": 2000, "validation": 4000},
            Training(epochs=3, batch_size=32, precision="bfloat16"),
        )
    sizes = {"train": 5000, "validation": 4000}
    yield "bp, pooled to 128", POOLED, "cifar10_jpeg", sizes, Training(epochs=10, batch_size=64, precision="bfloat16")


@contextmanager
def one_rate() -> Iterator[None]:
    """Within the block the inputs count for nothing."""
    declared = Optimiser.of
    Optimiser.of = lambda self, _: replace(self, inputs=None)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Optimiser.of = declared  # type: ignore[method-assign]


def run(text: str, data: Dataset, training: Training, seed: int) -> float:
    """Validation accuracy after the last epoch."""
    torch.manual_seed(seed)
    network = networks.build(parse(text), data.shape, data.classes, normalise=data.normalise)
    train(network, replace(data, validation=data.validation.first(2)), training, seed=seed)
    return accuracy(network, data.validation)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, Any]] = []
    for name, text, data_name, sizes, training in cases():
        data = data_sets.load(data_name, **sizes)
        runs: dict[str, list[float]] = {"one_rate": [], "by_inputs": []}
        for seed in range(options.seeds):
            with one_rate():
                runs["one_rate"].append(round(run(text, data, training, seed), 4))
            runs["by_inputs"].append(round(run(text, data, training, seed), 4))
        means = {kind: round(statistics.mean(found), 4) for kind, found in runs.items()}
        rows.append(
            {
                "network": name,
                "genotype": text,
                "data": data.title,
                **sizes,
                "epochs": training.epochs,
                "runs": runs,
                "means": means,
            }
        )
        print(f"{name}: {means}", flush=True)
    record("readout_rate", {"seeds": options.seeds, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
