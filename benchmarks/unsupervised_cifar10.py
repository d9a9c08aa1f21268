"""Claim to test: spiking layers that learn without labels, errors or surrogates carry a linear readout above 80.3 %.

80.3 % is SoftHebb's own on CIFAR-10, four layers deep and without spikes (Journé et al. 2023). Here is a chain of three
convolutions, 96, 384 and 1,536 channels, each learning by one local rule in the order of depth, on whitened images;
then a linear readout of an 8 x 8 grid, trained by its own loss while everything below stays. One run for each seed; its
validation images choose nothing, and the test split is opened at its end, once, if `--test` says so.

A run takes minutes on a GPU and days on a CPU. Runs are kept in the record, which goes on where it was cut short; a run
that was killed starts anew.

    python -m benchmarks.unsupervised_cifar10 --device cuda --out benchmarks/results/gpu/unsupervised_cifar10.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import record
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.genotype import parse
from snn_nas.spaces import canonical
from snn_nas.training import Training, accuracy, train

BAR = 0.803
SCOPE = ("rules", "seeds", "minutes", "device", "out")
"""Options that say how many runs there shall be and where, and not what one is."""


def genotype(rule: str, widths: list[int], T: int, threshold: float) -> str:
    """The network as text: 5x5, then 3x3; each halves the image but the last."""
    layers = [
        f"conv(c={c},k={5 if depth == 0 else 3},down={'none' if depth == len(widths) - 1 else 'avg'})"
        f"@{rule}/lif(threshold={threshold})"
        for depth, c in enumerate(widths)
    ]
    return f"chain(T={T},encoding=whiten){{{'; '.join(layers)}; readout(grid=8)@delta}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10_jpeg")
    parser.add_argument("--rules", nargs="+", default=["softhebb", "stdp", "rstdp", "frozen"])
    parser.add_argument("--widths", nargs="+", type=int, default=[96, 384, 1536])
    parser.add_argument("--T", type=int, default=4)
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--train", type=int, help="training images; all")
    parser.add_argument("--epochs", type=int, default=20, help="of the readout")
    parser.add_argument("--layerwise-epochs", type=int, default=1, help="of each layer below it")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=600.0, help="no run is begun after them")
    parser.add_argument("--test", action="store_true", help="open the test split at the end of each run")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    settings = {key: value for key, value in vars(options).items() if key not in SCOPE}
    runs: list[dict[str, Any]] = []
    if options.out.exists():
        try:
            before = json.loads(options.out.read_text())
            other = [key for key, value in settings.items() if before["settings"].get(key) != value]
        except (ValueError, KeyError) as why:
            raise SystemExit(f"{options.out} is no record of this benchmark: move it away ({why!r})") from why
        if other:
            raise SystemExit(f"{options.out} holds runs with other settings ({', '.join(other)}): give another --out")
        runs = before["runs"]
    done = {(run["rule"], run["seed"]) for run in runs}
    wanted = [(rule, seed) for seed in range(options.seeds) for rule in options.rules]
    data = data_sets.load(options.data, train=options.train, purpose="train" if options.test else "search")
    for rule, seed in wanted:
        if (rule, seed) in done or time.monotonic() > until:
            continue
        began = time.perf_counter()
        text = canonical(parse(genotype(rule, options.widths, options.T, options.threshold)), data.shape, data.classes)
        torch.manual_seed(seed)
        network = networks.build(text, data.shape, data.classes, normalise=data.normalise)
        training = Training(
            epochs=options.epochs,
            batch_size=options.batch,
            layerwise_epochs=options.layerwise_epochs,
            precision="bfloat16",
            augment=True,
        )
        history = train(network, data, training, seed=seed, device=options.device)
        run = {"rule": rule, "seed": seed, "genotype": str(text), "validation": round(history[-1].accuracy, 4)}
        if options.test:
            run["test"] = round(
                accuracy(network, data.test.open("accuracy of an unsupervised chain"), device=options.device), 4
            )
        run["seconds"] = round(time.perf_counter() - began, 1)
        runs.append(run)
        done.add((rule, seed))
        best = max(each.get("test", each["validation"]) for each in runs)
        result = {
            "bar": BAR,
            "best": best,
            "finished": done.issuperset(wanted),
            "settings": settings,
            "rules": options.rules,
            "seeds": options.seeds,
            "data": data.title,
            "runs": runs,
        }
        record("unsupervised_cifar10", result, str(options.out), options.device)


if __name__ == "__main__":
    main()
