"""The same networks, data, steps and seeds twice: as the rules declare, and without something that they declare."""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.common import Runs, record
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.data import Dataset
from snn_nas.genotype import parse
from snn_nas.training import Training, accuracy, train


class Case(NamedTuple):
    """One network and how it is trained; `sizes` are the numbers of images, `train` and `validation`."""

    name: str
    genotype: str
    data: str
    sizes: dict[str, int]
    training: Training

    @property
    def steps(self) -> int:
        """Of the optimiser."""
        return self.training.epochs * math.ceil(self.sizes["train"] / self.training.batch_size)


def run(case: Case, data: Dataset, seed: int) -> float:
    """Validation accuracy after the last epoch."""
    torch.manual_seed(seed)
    network = networks.build(parse(case.genotype), data.shape, data.classes, normalise=data.normalise)
    train(network, replace(data, validation=data.validation.first(2)), case.training, seed=seed)
    return round(accuracy(network, data.validation), 4)


def main(
    description: str,
    name: str,
    cases: Iterable[Case],
    without: Callable[[], AbstractContextManager[None]],
    labels: tuple[str, str],
    **said: Any,
) -> None:
    """A benchmark's command line: run all cases, within `without()` and as declared, and write the record.

    A journal beside the record keeps every run, so that a benchmark cut short goes on where it was.

    Args:
        description: the benchmark's docstring.
        name: the record's.
        cases: what is run.
        without: takes away, within its block, what the rules declare.
        labels: of runs within that block, and of those as declared.
        said: what else the record says.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    journal = Runs(Path(options.out).with_suffix(".runs.jsonl")) if options.out else None
    known = {row["key"]: row["accuracy"] for row in (journal.read() if journal else ())}
    rows: list[dict[str, Any]] = []
    for case in cases:
        data = data_sets.load(case.data, **case.sizes)
        runs: dict[str, list[float]] = {label: [] for label in labels}
        for seed in range(options.seeds):
            for label, within in zip(labels, (without, nullcontext), strict=True):
                key = f"{label} {seed} {case.data} {case.sizes} {asdict(case.training)} {case.genotype}"
                if key not in known:
                    with within():
                        known[key] = run(case, data, seed)
                    if journal:
                        journal.append({"key": key, "accuracy": known[key]})
                runs[label].append(known[key])
        means = {label: round(statistics.mean(found), 4) for label, found in runs.items()}
        network = {"network": case.name, "genotype": case.genotype, "data": data.title}
        training = {**case.sizes, "epochs": case.training.epochs, "steps": case.steps}
        rows.append({**network, **training, "runs": runs, "means": means})
        print(f"{case.name}, {data.title}: {means}", flush=True)
    record(name, {"seeds": options.seeds, **said, "rows": rows}, options.out)
