"""Claim: rules learn, not only compute: each against `frozen`, in the same place of the same network.

Two settings, on held-out validation images, last epoch, every seed printed, equal budgets, nothing tuned per run:

- `only`: the rule trains every hidden layer, under a linear readout, at each depth and encoding. What counts is each
  rule's best mean over depths and encodings against the best of `frozen` over the same ones.
- `first`: an unsupervised rule, or `frozen`, trains the first layer under layers of another rule.

The effective rank of a layer's filters (exponential of the entropy of their singular values) says how diverse they are.
CIFAR-10 here is the JPEG-75 copy, so accuracies are not comparable with published ones. The record is written after
every run, so that a run cut short leaves what it measured: `complete` says whether it was.

    python benchmarks/rules_learn.py --data cifar10_jpeg --train 4000 --out benchmarks/results/rules_learn.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from common import record
from torch import Tensor

from rules.registry import pair
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.genotype import parse
from snn_nas.training import Training, train

WIDTHS = (32, 64, 64)
KERNELS = (5, 3, 3)
DOWNS = ("avg", "avg", "none")


def genotype(rules: list[str], options: argparse.Namespace, encoding: str) -> str:
    """A chain whose layers have these rules."""
    neuron = f"lif(threshold={options.threshold})"
    places = zip(rules, WIDTHS, KERNELS, DOWNS, strict=False)
    layers = [f"conv(c={c},k={k},down={down})@{rule}/{neuron}" for rule, c, k, down in places]
    carrier = pair(rules[-1].partition("(")[0]).transport
    readout = f"readout(grid={options.grid})@delta~{carrier}"
    return f"chain(T={options.T},encoding={encoding}){{{'; '.join([*layers, readout])}}}"


def effective_rank(weight: Tensor) -> float:
    """How many directions the filters span."""
    share = torch.linalg.svdvals(weight.detach().flatten(1).double())
    share = share / share.sum()
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))


def run(text: str, data: data_sets.Dataset, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train one network."""
    torch.manual_seed(seed)
    network = networks.build(parse(text), data.shape, data.classes, normalise=data.normalise).to(options.device)
    start = time.perf_counter()
    history = train(network, data, Training(epochs=options.epochs), seed=seed, device=options.device)
    return {
        "accuracy": round(history[-1].accuracy, 4),
        "ranks": [round(effective_rank(layer.synapse.weight), 1) for layer in network][:-1],
        "seconds": round(time.perf_counter() - start, 1),
    }


def jobs(options: argparse.Namespace) -> list[tuple[dict[str, Any], str]]:
    """What to run: a row of the table, and its genotype."""
    found = [
        ({"setting": "only", "rule": rule, "depth": depth, "encoding": encoding}, [rule] * depth)
        for encoding in options.encodings
        for depth in options.depths
        for rule in options.rules
    ]
    found += [
        ({"setting": "first", "rule": rule, "under": above, "depth": 2, "encoding": encoding}, [rule, above])
        for encoding in options.encodings
        for above in options.above
        for rule in options.first
    ]
    return [(row, genotype(rules, options, row["encoding"])) for row, rules in found]


def best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """For each rule its best mean accuracy as the only rule, and its margin over the best of `frozen`."""
    means: dict[str, float] = {}
    for row in rows:
        if row["setting"] == "only" and row["runs"]:
            means[row["rule"]] = max(means.get(row["rule"], 0.0), row["mean"])
    control = means.get("frozen")
    return {
        rule: {"best_mean": round(mean, 4), "over_frozen": None if control is None else round(mean - control, 4)}
        for rule, mean in means.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10_jpeg")
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--validation", type=int, default=2500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--T", type=int, default=4)
    parser.add_argument("--grid", type=int, default=8)
    parser.add_argument("--threshold", type=float, default=1.0)
    parser.add_argument("--rules", nargs="*", default=["frozen", "stdp", "softhebb"])
    parser.add_argument("--first", nargs="*", default=["frozen", "stdp", "softhebb"])
    parser.add_argument("--above", nargs="*", default=["frsf"])
    parser.add_argument("--depths", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--encodings", nargs="*", default=["whiten"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = data_sets.load(options.data, train=options.train, validation=options.validation)
    todo = jobs(options)
    rows = [row | {"genotype": text, "runs": []} for row, text in todo]
    for seed in range(options.seeds):  # seed by seed, so that what is cut short is short of seeds and not of rules
        for row in rows:
            row["runs"].append({"seed": seed} | run(row["genotype"], data, options, seed))
            accuracies = [each["accuracy"] for each in row["runs"]]
            row["mean"] = round(statistics.mean(accuracies), 4)
            row["deviation"] = round(statistics.stdev(accuracies), 4) if len(accuracies) > 1 else None
            complete = all(len(each["runs"]) == options.seeds for each in rows)
            settings = {key: value for key, value in vars(options).items() if key != "out"}
            result = {"data": data.title, "settings": settings, "complete": complete, "best": best(rows), "rows": rows}
            record("rules_learn", result, options.out, options.device)


if __name__ == "__main__":
    main()
