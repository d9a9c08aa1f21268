"""Claim: a child that inherits its parent's weights is more accurate after one epoch than one that starts afresh.

Conditions: parents drawn uniformly from a `chain` space with six rules, on digits, trained for 5 epochs; a parent at
chance has nothing to give and is left out, as a search would. Each has `--children` mutants: one choice changed, and
what that forces. Every mutant is trained for 1 epoch from its parent's weights, and for 1 epoch afresh, with the same
seed; accuracy is that on the validation images, also where it is chance. The p-value is Wilcoxon's signed-rank test
over all children, two-sided.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from pathlib import Path

from benchmarks.common import record
from snn_nas.evaluation import EvaluationSettings, fit
from snn_nas.genotype import Genotype
from snn_nas.inheritance import Start, keep
from snn_nas.search import trial_seed
from snn_nas.spaces import build

SPACE = {
    "depth": [2, 3],
    "widths": [8, 16],
    "downs": ["none", "avg"],
    "neurons": ["lif(threshold=0.5)"],
    "rules": ["usf", "frsf", "dfa", "local", "stdp", "frozen"],
    "T": [2],
}
LONG = 5


def settings(epochs: int) -> EvaluationSettings:
    """The budget of a trial."""
    return EvaluationSettings.of({"data": "digits", "batch_size": 32, "epochs": epochs})


def main() -> None:
    from scipy.stats import wilcoxon

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parents", type=int, default=5)
    parser.add_argument("--children", type=int, default=4)
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    data, rng = settings(1).load(), random.Random(0)
    space = build("chain", shape=data.shape, classes=data.classes, choices=SPACE)

    def accuracy(genotype: Genotype, epochs: int, start: Start | None = None, file: Path | None = None) -> float:
        seed = trial_seed(0, genotype.digest)
        network, history = fit(genotype, settings(epochs), data, seed, patient=True, start=start)
        if file is not None:
            keep(network, file)
        return history[-1].accuracy

    children, parents = [], 0
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "parent.safetensors"
        while parents < options.parents:
            parent = space.sample(rng)
            if (reached := accuracy(parent, LONG, file=file)) < 0.5:
                continue
            parents += 1
            for _ in range(options.children):
                child = space.mutate(parent, rng)
                row = {"parent": reached, "genotype": str(child)}
                row["inherited"] = accuracy(child, 1, start := Start(file))
                row |= {"share": start.share, "fresh": accuracy(child, 1)}
                children.append(row)
                print({key: round(row[key], 3) for key in ("inherited", "fresh", "share")}, flush=True)
    gains = [row["inherited"] - row["fresh"] for row in children]
    columns = ("inherited", "fresh", "share")
    result = {
        "space": SPACE,
        "epochs": {"parent": LONG, "inherited": 1, "fresh": 1},
        "mean": {key: statistics.mean(float(row[key]) for row in children) for key in columns},
        "gain": {"mean": statistics.mean(gains), "deviation": statistics.stdev(gains)},
        "better": sum(gain > 0 for gain in gains),
        "of": len(children),
        "p": float(wilcoxon(gains).pvalue),
        "children": children,
        "claim": "mean gain above 0 with p below 0.01",
    }
    record("inheritance", result, options.out)


if __name__ == "__main__":
    main()
