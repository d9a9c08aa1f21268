"""Claim: the bp chain reaches at least 74 % on Fashion-MNIST from 4,000 images in 3 epochs at T=4.

Conditions: 32, 64 and 64 channels of 3x3, average pools after the first two, LIF, 10,000 validation images, the last
epoch counts. All rules get the same architecture, budget and seeds; none was tuned on these images beyond its declared
defaults. `--threshold 0.5` doubles the drive: networks fire more, and `frozen` is a stronger control.
"""

from __future__ import annotations

import argparse
import statistics

from benchmarks.common import record
from snn_nas.controls import rule, single_rule
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.genotype import parse
from snn_nas.spaces import canonical

CHAIN = (
    "chain(T=4){{conv(c=32,down=avg)@bp/{n}; conv(c=64,down=avg)@bp/{n}; conv(c=64)@bp/{n}; "
    "readout(grid=7)@delta~exact}}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", default="bp,usf,frsf,brsf,fa,dfa,local,stdp,frozen")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threshold", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    settings = EvaluationSettings.of(
        {"data": "fashion_mnist", "train": 4000, "validation": 10_000, "epochs": options.epochs}
    )
    data = settings.load()
    neuron = "lif" if options.threshold == 1.0 else f"lif(threshold={options.threshold})"
    twin = parse(CHAIN.format(n=neuron))
    table = {}
    for name in options.rules.split(","):
        genotype = canonical(single_rule(twin, rule(name)), data.shape, data.classes)
        results = [evaluate(genotype, settings, seed, data=data) for seed in range(options.seeds)]
        accuracies = [result.metrics.get("accuracy", 0.0) for result in results]
        table[name] = {
            "accuracies": accuracies,
            "mean": statistics.mean(accuracies),
            "energy_uJ": results[0].metrics.get("energy_uJ"),
            "mean_rate": results[0].metrics.get("mean_rate"),
            "locality": results[0].metrics.get("locality"),
            "genotype": str(genotype),
        }
        print(name, accuracies, flush=True)
    record(
        "fashion_chain",
        {"neuron": neuron, "profile": settings.profile, "epochs": options.epochs, "rules": table},
        options.out,
    )


if __name__ == "__main__":
    main()
