"""Claim: no training-free filter is offered without the number that says whether it beats the parameter count.

Every filter of `snn_nas.filters` scores networks that nobody has trained; then the same networks are trained, and the
rank correlations of the scores with their validation accuracy are compared. The parameter count is the baseline: a
filter that does not beat it has learned nothing about spiking networks but their size (White et al. 2022 found this of
most of them, for rate networks).

Conditions: networks drawn uniformly from a `chain` space with six rules, Fashion-MNIST, 1,000 training and 2,000
validation images, 3 epochs at T=2. Scores: one batch of 64 training images, weights as the trial draws them. Networks
at chance train on to the end; one that diverged counts with the accuracy 0. The journal is resumable: a network that is
in it is not trained again. Intervals are of 2,000 bootstrap draws over the networks.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from benchmarks.common import Runs, record
from snn_nas.evaluation import EvaluationSettings, fit
from snn_nas.genotype import parse
from snn_nas.search import trial_seed
from snn_nas.spaces import build
from snn_nas.training import Diverged

JOURNAL = Path(__file__).parent / "results" / "filters.runs.jsonl"
SETTINGS = EvaluationSettings.of({"data": "fashion_mnist", "train": 1000, "validation": 2000, "epochs": 3})
SPACE = {
    "depth": [2, 3],
    "widths": [8, 16, 32],
    "kernels": [3, 5],
    "downs": ["avg", "max"],
    "skips": [0],
    "rules": ["usf", "frsf", "dfa", "local", "stdp", "frozen"],
    "T": [2],
}


def train(networks: int, journal: Runs) -> list[dict[str, Any]]:
    """The accuracy of each network, from the journal where it is there."""
    data = SETTINGS.load()
    space, rng = build("chain", shape=data.shape, classes=data.classes, choices=SPACE), random.Random(0)
    known = {row["digest"]: row for row in journal.read()}
    rows = []
    while len(rows) < networks:
        genotype = space.sample(rng)
        if genotype.digest not in known:
            try:
                history = fit(genotype, SETTINGS, data, trial_seed(0, genotype.digest), patient=True)[1]
                accuracy = history[-1].accuracy
            except Diverged:
                accuracy = 0.0
            known[genotype.digest] = {"digest": genotype.digest, "genotype": str(genotype), "accuracy": accuracy}
            journal.append(known[genotype.digest])
            print(len(rows) + 1, f"{accuracy:.3f}", genotype, flush=True)
        rows.append(known[genotype.digest])
    return rows


def correlations(scores: list[float], accuracies: list[float]) -> dict[str, float]:
    """Rank correlations, and a bootstrap interval of Spearman's."""
    import numpy as np
    from scipy.stats import kendalltau, spearmanr

    x, y, rng = np.array(scores), np.array(accuracies), np.random.default_rng(0)
    draws = [spearmanr(x[i], y[i]).statistic for i in rng.integers(len(x), size=(2000, len(x)))]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return {
        "spearman": float(spearmanr(x, y).statistic),
        "spearman_low": float(low),
        "spearman_high": float(high),
        "kendall": float(kendalltau(x, y).statistic),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    rows = train(options.networks, Runs(options.journal))
    from snn_nas.filters import FILTERS, Scorer

    accuracies = [row["accuracy"] for row in rows]
    table: dict[str, Any] = {}
    for name in FILTERS:
        score = Scorer(name, SETTINGS, seed=0)
        scores = [score(parse(row["genotype"])) for row in rows]
        table[name] = {**correlations(scores, accuracies), "seconds": score.seconds / len(rows)}
    result = {
        "networks": len(rows),
        "accuracy": {"lowest": min(accuracies), "highest": max(accuracies)},
        "space": SPACE,
        "filters": dict(sorted(table.items(), key=lambda item: -item[1]["spearman"])),
        "claim": "the figure of every filter stands beside that of `parameters`",
    }
    record("filters", result, options.out)


if __name__ == "__main__":
    main()
