"""Claim: layers that forget their weights over a fifth of the training learn more than layers that forget nothing.

The same networks, data, steps and seeds, twice: with the decay that the rules declare (`Optimiser.horizon`), and with
none. Three convolutions under one rule, or a mix: 32 channels on 2,000 images of Fashion-MNIST, and the network of
`rules_learn` on 10,000 images of CIFAR-10, 3 passes each. Accuracies are of validation images, last epoch; the test
split stays shut. The horizon was chosen among 0.05, 0.1, 0.2 and 0.3 on such validation images, one or two seeds each.

    python -m benchmarks.horizon --out benchmarks/results/horizon.json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.common import record
from benchmarks.readout_rate import run
from rules.registry import Optimiser, pair
from snn_nas import data as data_sets
from snn_nas.training import Training

SMALL = "conv(c=32,down=avg,k=3)@{rule}/lif(reset=hard,threshold=0.5)"
LARGE = ("conv(c=32,k=5,down=avg)", "conv(c=64,k=3,down=avg)", "conv(c=64,k=3,down=none)")
Case = tuple[str, str, str, dict[str, int], Training]
"""Name, genotype, data set, its sizes, and the training."""


def cases() -> Iterator[Case]:
    """Fashion-MNIST first, which is quick."""
    sizes = {"train": 2000, "validation": 4000}
    for name in ("bp", "frsf", "stdp, frsf, frsf", "local", "eprop", "dfa(feedback=learned)"):
        rules = name.split(", ") if ", " in name else [name] * 3
        text = chain([SMALL.format(rule=rule) for rule in rules], rules[-1], grid=3)
        yield name, text, "fashion_mnist", sizes, Training(epochs=3, batch_size=32, precision="bfloat16")
    sizes = {"train": 10_000, "validation": 5000}
    for name in ("bp", "frsf"):
        text = chain([f"{place}@{name}/lif(threshold=0.5)" for place in LARGE], name, grid=8)
        yield name, text, "cifar10_jpeg", sizes, Training(epochs=3, batch_size=64, precision="bfloat16")


def chain(layers: list[str], last: str, grid: int) -> str:
    """As text; the readout hands the error down as the last layer wants it."""
    transport = pair(last.partition("(")[0]).transport
    return f"chain(T=4,encoding=whiten){{{'; '.join(layers)}; readout(grid={grid})@delta~{transport}}}"


@contextmanager
def nothing_forgotten() -> Iterator[None]:
    """Within the block no weights decay."""
    declared = Optimiser.decay
    Optimiser.decay = lambda *_: 0.0  # type: ignore[method-assign]
    try:
        yield
    finally:
        Optimiser.decay = declared  # type: ignore[method-assign]


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
        runs: dict[str, list[float]] = {"nothing": [], "declared": []}
        for seed in range(options.seeds):
            with nothing_forgotten():
                runs["nothing"].append(round(run(text, data, training, seed), 4))
            runs["declared"].append(round(run(text, data, training, seed), 4))
        means = {kind: round(statistics.mean(found), 4) for kind, found in runs.items()}
        row = {"network": name, "genotype": text, "data": data.title, **sizes, "epochs": training.epochs}
        rows.append(row | {"runs": runs, "means": means})
        print(f"{name}, {data.title}, {training.epochs} epochs: {means}", flush=True)
    record("horizon", {"seeds": options.seeds, "horizon": pair("bp").optimiser.horizon, "rows": rows}, options.out)


if __name__ == "__main__":
    main()
