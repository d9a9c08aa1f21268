"""Claim: none. How far may a supernet's ranking be believed? Kendall's tau with short real training, three spaces.

    chain   depth, widths, halvings and rules of a chain        nb201   the six edges of a cell and their rules
    rules   the rules of a fixed chain: what altered feedback does below is out of a supernet's sight

Conditions: digits, 500 training images, T=2, batches of 25; `--networks` networks drawn uniformly from each space.
Their truth is the validation accuracy of a real training of 5 epochs, the mean over two seeds. Against it stand

    shared weights   minus the loss on shared weights, as EG-NAS scores networks in its search
    eg_nas, darts    the preference of each procedure's architecture weights
    weights          the number of synaptic weights: what anyone can tell without a supernet

and the truth's one seed against its other: how noisy a single training is. That is no ceiling for the others, which are
held against the mean of the two, and a mean is steadier than either. Supernets train on half of the 500
images and score on the other half; validation images are seen by real training alone. Real trainings are kept in a
journal beside the record, and are not done again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau

from benchmarks.common import Runs, record
from neurons.errors import UserError
from snn_nas.data import Dataset
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.genotype import Genotype
from snn_nas.search import STRATEGIES, objectives
from snn_nas.search.preferences import Preferences
from snn_nas.spaces import build, graph
from snn_nas.spaces.space import Space
from snn_nas.supernet.bilevel import halves
from snn_nas.supernet.request import evolved, run
from snn_nas.training_settings import Training

SMALL = {"T": [2], "kernels": [3], "ops": ["conv"], "skips": [0], "neurons": ["lif(reset=hard,threshold=0.5)"]}
CELL = {"T": [2], "channels": [8], "stages": 1, "grid": 4, "neurons": SMALL["neurons"]}
RULES = ["usf", "dfa", "stdp", "frozen", "fa", "local"]
SPACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chain": ("chain", SMALL | {"depth": [2, 3], "widths": [4, 16], "downs": ["none", "avg"], "rules": RULES[:4]}),
    "nb201": ("nb201", CELL | {"rules": ["usf", "dfa", "frozen"]}),
    "rules": ("chain", SMALL | {"depth": [3], "widths": [8], "downs": ["none"], "rules": RULES}),
}
GIVEN = {"data": "digits", "train": 500, "batch_size": 25, "lr": 3.0, "epochs": 5, "energy_images": 1}
EPOCHS = {"darts": 12, "eg_nas": 40}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=32)
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--out", required=True, help="the record; beside it a journal, from which it goes on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    journal = Runs(Path(options.out).with_suffix(".jsonl"))
    found = {name: measure(name, options.networks, journal) for name in options.spaces}
    result = {
        "settings": GIVEN, "supernet_epochs": EPOCHS, "networks": options.networks,
        "cpu_seconds": round(time.process_time() - began), "spaces": found,
    }  # fmt: skip
    record("supernet_rank", result, options.out)


def measure(name: str, networks: int, journal: Runs) -> dict[str, Any]:
    """Kendall's tau of everything that ranks the networks of a space, with the p-value of no relation."""
    kind, choices = SPACES[name]
    space = build(kind, shape=(1, 8, 8), classes=10, choices=choices)
    evaluation = EvaluationSettings.of(GIVEN)
    data = evaluation.load()
    dice, drawn = random.Random(1), dict[str, Genotype]()
    while len(drawn) < networks:
        genotype = space.sample(dice)
        drawn[genotype.digest] = genotype
    genotypes = list(drawn.values())
    ranks: dict[str, list[float]] = {"weights": [graph(g, (1, 8, 8), 10).weights for g in genotypes]}
    seconds: dict[str, float] = {}

    began = time.process_time()
    requests = {each: asked(each, space) for each in EPOCHS}
    training = Training(**{**evaluation.training, "epochs": EPOCHS["eg_nas"]})  # type: ignore[arg-type]
    bank, evolution = evolved(requests["eg_nas"], space, data, training, evaluation)
    images, labels = next(halves(data.train)[1].batches(1000))
    ranks["shared weights"] = [-bank.score(g, images, labels).loss for g in genotypes]
    ranks["eg_nas"] = preferred(space, evolution.logits(), genotypes)
    seconds["eg_nas"] = round(time.process_time() - began, 1)
    say(f"{name}: eg_nas took {seconds['eg_nas']} s of CPU")

    began = time.process_time()
    ranks["darts"] = preferred(space, run(requests["darts"], space, evaluation), genotypes)
    seconds["darts"] = round(time.process_time() - began, 1)
    say(f"{name}: darts took {seconds['darts']} s of CPU")

    truths: list[list[float]] = [[], []]
    for number, genotype in enumerate(genotypes, 1):
        for seed, column in enumerate(truths):
            column.append(trained(genotype, seed, evaluation, data, journal))
        left = sum(each["seconds"] for each in journal.read()) / len(journal.read()) * 2 * (networks - number)
        say(f"{name}: {number} of {networks} trained, {truths[0][-1]:.3f}, about {left:.0f} s of CPU left")
    truth = [sum(pair) / 2 for pair in zip(*truths, strict=True)]
    taus = {key: tau(values, truth) for key, values in ranks.items()}
    return {
        "size": str(space.size()), "tau": taus, "seed against seed": tau(*truths), "cpu_seconds": seconds,
        "accuracy": [min(truth), max(truth)],
        "networks": [
            {"genotype": str(g), "truth": [t[i] for t in truths], **{key: values[i] for key, values in ranks.items()}}
            for i, g in enumerate(genotypes)
        ],
    }  # fmt: skip


def trained(genotype: Genotype, seed: int, evaluation: EvaluationSettings, data: Dataset, journal: Runs) -> float:
    """Validation accuracy after a real short training, from the journal if it is there; of a dead network, chance."""
    for known in journal.read():
        if (known["genotype"], known["seed"]) == (str(genotype), seed):
            return float(known["accuracy"])
    began = time.process_time()
    accuracy = evaluate(genotype, evaluation, seed, data=data).metrics.get("accuracy", 0.1)
    seconds = round(time.process_time() - began, 2)
    journal.append({"genotype": str(genotype), "seed": seed, "accuracy": accuracy, "seconds": seconds})
    return accuracy


def asked(name: str, space: Space) -> dict[str, Any]:
    """The strategy's own request, with this benchmark's epochs."""
    request = STRATEGIES[name](space, objectives(["accuracy"]), 0, epochs=EPOCHS[name]).request()
    if request is None:
        raise UserError(f"{name} trains nothing")
    return request


def preferred(space: Space, logits: dict[str, list[float]], genotypes: list[Genotype]) -> list[float]:
    """How much each network is preferred."""
    found = Preferences(space, {key: tuple(each) for key, each in logits.items()})
    return [found.of(genotype) for genotype in genotypes]


def tau(one: list[float], other: list[float]) -> dict[str, float] | None:
    """Kendall's tau-b and its p-value; None where one of them is constant."""
    if len(set(one)) == 1 or len(set(other)) == 1:
        return None
    found = kendalltau(one, other)
    return {"tau": round(float(found.statistic), 3), "p": round(float(found.pvalue), 4)}


def say(text: str) -> None:
    """A line of progress, beside the record."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
