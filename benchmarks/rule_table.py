"""Makes the rule table: every assignment of rules to the layers of one network, trained once; the best, more often.

The network is a chain of three 3x3 convolutions of 32 channels on Fashion-MNIST, average pools, whitened images, hard
reset, T = 4. Every valid assignment of seven rules to its hidden layers is trained on 4,000 images for 3 epochs, and
measured on 10,000 held-out images, by which a search may choose, and on 10,000 others, by which searches are compared.
All are of the training split: the test split stays shut. Nothing was tuned on any of them but the network's setting
(encoding, batch size), on four single-rule networks and 10,000 of them. Training and measuring are in bfloat16.

Each run is a line of a journal, so that it goes on where it was cut short: first every assignment with seed 0, then the
best 20 by the mean over their seeds, and those of one rule alone, with more. With `--table`, what there is becomes the
table that is shipped.

    python benchmarks/rule_table.py --journal benchmarks/results/rule_table.runs.jsonl --minutes 60 \
        --table snn_nas/search/tables/fashion_rules.json
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import Runs
from snn_nas.conditions import conditions
from snn_nas.data import Dataset
from snn_nas.evaluation import Dead, EvaluationSettings, fit, measure
from snn_nas.genotype import Genotype
from snn_nas.nni.study import build_space
from snn_nas.search.strategy import Space
from snn_nas.training import Diverged, accuracy

SPACE = {
    "name": "chain", "data": "fashion_mnist", "depth": [3], "ops": ["conv"], "widths": [32], "kernels": [3],
    "downs": ["avg"], "skips": [0], "T": [4], "encodings": ["whiten"], "grid": 3, "readouts": ["frsf"],
    "rules": ["frsf", "dfa(feedback=shared)", "eprop", "local", "stdp", "softhebb", "frozen"],
    "neurons": ["lif(reset=hard,threshold=0.5)"],
}  # fmt: skip
BUDGET = {
    "data": "fashion_mnist", "train": 4000, "validation": 20_000, "epochs": 3, "batch_size": 32,
    "precision": "bfloat16", "profile": "45nm_fp32",
}  # fmt: skip
COSTS = ("energy_uJ", "learning_energy_uJ", "synops", "parameters", "locality")

Known = dict[tuple[str, int], dict[str, Any]]
"""Runs by genotype and seed."""


def everyone(space: Space) -> list[Genotype]:
    """Every genotype of the space, in the order of their texts."""
    found: dict[str, Genotype] = {}
    rng = random.Random(0)
    while len(found) < space.size():
        genotype = space.sample(rng)
        found[genotype.digest] = genotype
    return sorted(found.values(), key=str)


def run(genotype: Genotype, seed: int, settings: EvaluationSettings, data: Dataset) -> dict[str, Any]:
    """Train one network and measure it on either half of the held-out images."""
    began = time.perf_counter()
    row: dict[str, Any] = {"genotype": str(genotype), "seed": seed, "status": "ok"}
    half = len(data.validation) // 2
    try:
        unseen = replace(data, validation=data.validation.first(1000))  # enough to see that a network is dead
        network, _ = fit(genotype, settings, unseen, seed)
        with torch.autocast("cpu", torch.bfloat16):
            row["validation"] = round(accuracy(network, data.validation.first(half)), 4)
            row["held_out"] = round(accuracy(network, data.validation.after(half)), 4)
        costs = measure(network, data, settings)
        row.update({name: float(f"{costs[name]:.6g}") for name in COSTS})
    except Dead:
        row["status"] = "dead"
    except Diverged:
        row["status"] = "diverged"
    row["seconds"] = round(time.perf_counter() - began, 1)
    row["commit"] = conditions("cpu")["commit"]
    return row


def alone(genotype: Genotype) -> bool:
    """Whether all hidden layers are under one rule; the lowest of `frsf` hands nothing on, and is spelled so."""
    return len({str(gene.rule).replace("gradient", "frsf") for gene in genotype.genes[:-1]}) == 1


def work(networks: list[Genotype], best: int, seeds: int, known: Known) -> Iterator[tuple[Genotype, int]]:
    """What is still to run, the next first."""
    for genotype in networks:
        if (str(genotype), 0) not in known:
            yield genotype, 0
    while True:
        runs = defaultdict(list)
        for (text, _), row in known.items():
            runs[text].append(row.get("validation", 0.0))
        first = sorted(networks, key=lambda genotype: -statistics.mean(runs[str(genotype)]))[:best]
        wanted = dict.fromkeys(first + [genotype for genotype in networks if alone(genotype)])
        short = [(len(runs[str(genotype)]), genotype) for genotype in wanted if len(runs[str(genotype)]) < seeds]
        if not short:
            return
        count, genotype = min(short, key=lambda each: each[0])
        yield genotype, count


def table(networks: list[Genotype], known: Known) -> dict[str, Any]:
    """What is shipped: the conditions, and each network with all its runs."""
    rows = []
    for genotype in networks:
        runs = [row for (text, _), row in sorted(known.items()) if text == str(genotype)]
        kept = ("seed", "status", "validation", "held_out", *COSTS)
        rows.append({"genotype": str(genotype), "runs": [{k: run[k] for k in kept if k in run} for run in runs]})
    return {
        "name": "fashion_rules",
        "space": SPACE,
        "budget": BUDGET,
        "commits": sorted({row["commit"] for row in known.values()}),
        "conditions": conditions("cpu"),
        "networks": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--journal", type=Path, default=Path("benchmarks/results/rule_table.runs.jsonl"))
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--best", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", type=Path, help="file for the table")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = EvaluationSettings.of(BUDGET)
    networks = everyone(build_space(SPACE))
    journal, data = Runs(options.journal), settings.load()
    known = {(row["genotype"], row["seed"]): row for row in journal.read()}
    until = time.monotonic() + 60 * options.minutes
    for genotype, seed in work(networks, options.best, options.seeds, known):
        if time.monotonic() > until:
            break
        row = run(genotype, seed, settings, data)
        journal.append(row)
        known[str(genotype), seed] = row
        print(
            f"{len(known)}/{len(networks)}  {row.get('validation', row['status'])}  {row['seconds']} s  {genotype}",
            flush=True,
        )
    if options.table:
        options.table.parent.mkdir(parents=True, exist_ok=True)
        options.table.write_text(json.dumps(table(networks, known), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
