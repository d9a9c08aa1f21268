"""Claim to test: a search over topology and rules together beats one over topology alone, and one over rules alone.

All are searches of one kind (`--strategy`) with the same number of evaluations, over chains on Fashion-MNIST. *Joint*
chooses depth, widths, kernels, pools and the rule of every layer. *Topology* has the same choices but one rule for all
layers: a search for each rule. Who cannot know the best rule beforehand has to try them all: *every rule in turn*
shares the evaluations among the searches for each rule. *Rules* keeps one topology, the middle of the space's, and
chooses every layer's rule. Each search is repeated with other seeds, of the search and of training alike. What it chose
by its validation images is compared on as many others; all are held out of the training split, and the test split stays
shut.

A network that was trained once with a seed is never trained again: runs are lines of a journal, so that searches share
them, and a benchmark cut short goes on where it was.

    python -m benchmarks.joint_search --out benchmarks/results/joint_search.json --plot docs/images/joint_search.png
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import Runs, record
from benchmarks.curves import plot
from snn_nas.data import Dataset
from snn_nas.evaluation import Dead, EvaluationSettings, fit
from snn_nas.genotype import Genotype
from snn_nas.nni.study import build_space
from snn_nas.search import Result, create, objectives
from snn_nas.training import Diverged, accuracy

RULES = ["frsf", "dfa", "local", "stdp", "softhebb", "frozen"]
JOINT = {
    "name": "chain", "data": "fashion_mnist", "depth": [2, 3], "ops": ["conv"], "widths": [16, 32], "kernels": [3, 5],
    "downs": ["none", "avg"], "skips": [0], "T": [4], "encodings": ["whiten"], "grid": 4, "readouts": ["frsf"],
    "rules": RULES, "neurons": ["lif(reset=hard,threshold=0.5)"],
}  # fmt: skip
SINGLE = ["frsf", "local", "softhebb"]
"""The best alone of each kind: with an error from above, with one of its own, with none."""
MIDDLE = {"depth": [3], "widths": [32], "kernels": [3], "downs": ["avg"]}
IN_TURN = "topology alone, every rule in turn"
COLOURS = {
    "joint": "#0072b2", "rules alone": "#009e73", IN_TURN: "#d55e00", "topology alone, frsf": "#e69f00",
    "topology alone, local": "#cc79a7", "topology alone, softhebb": "#8c959f",
}  # fmt: skip
BUDGET = {
    "data": "fashion_mnist", "train": 2000, "validation": 8000, "epochs": 2, "batch_size": 32, "precision": "bfloat16",
}  # fmt: skip


class Bench:
    """Trains networks, or remembers that they were trained."""

    def __init__(self, path: Path) -> None:
        self.settings = EvaluationSettings.of(BUDGET)
        self.data: Dataset = self.settings.load()
        self.journal = Runs(path)
        self.known = {(row["genotype"], row["seed"]): row for row in self.journal.read()}

    def run(self, genotype: Genotype, seed: int) -> dict[str, Any]:
        """Validation accuracy, and that on the images that no search sees; both 0 for a dead network."""
        key = (str(genotype), seed)
        if key not in self.known:
            half = len(self.data.validation) // 2
            row: dict[str, Any] = {"genotype": key[0], "seed": seed, "validation": 0.0, "held_out": 0.0}
            began = time.perf_counter()
            try:
                network, _ = fit(
                    genotype, self.settings, replace(self.data, validation=self.data.validation.first(500)), seed
                )
                with torch.autocast("cpu", torch.bfloat16):
                    row["validation"] = round(accuracy(network, self.data.validation.first(half)), 4)
                    row["held_out"] = round(accuracy(network, self.data.validation.after(half)), 4)
            except (Dead, Diverged) as why:
                row["why"] = str(why)
            row["seconds"] = round(time.perf_counter() - began, 1)
            self.journal.append(row)
            self.known[key] = row
        return self.known[key]

    def search(self, space: dict[str, Any], strategy: str, evaluations: int, seed: int) -> dict[str, Any]:
        """One search; the network that it chose, and the best validation accuracy after each evaluation."""
        ask = create(strategy, build_space(space), objectives(["accuracy"]), seed)
        curve: list[float] = []
        chosen: dict[str, Any] = {}
        for _ in range(evaluations):
            genotype = ask.ask()
            row = self.run(genotype, seed)
            metrics = {"accuracy": row["validation"]}
            ask.tell(Result(str(genotype), genotype.digest, "dead" if "why" in row else "ok", metrics, "", seed))
            if not chosen or row["validation"] > chosen["validation"]:
                chosen = row
            curve.append(chosen["held_out"])
        kept = {name: chosen[name] for name in ("validation", "held_out", "genotype")}
        return {"seed": seed, **kept, "curve": curve}

    def in_turn(self, spaces: list[dict[str, Any]], strategy: str, evaluations: int, seed: int) -> dict[str, Any]:
        """As `search`, with the evaluations shared among several spaces, one after the other."""
        best: dict[str, Any] = {}
        curve: list[float] = []
        for number, space in enumerate(spaces):
            share = (evaluations - len(curve)) // (len(spaces) - number)
            found = self.search(space, strategy, share, seed)
            better = not best or found["validation"] > best["validation"]
            curve += found["curve"] if better else [best["held_out"]] * share
            best = found if better else best
        return {**best, "curve": curve}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", default="evolution")
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--single", nargs="+", default=SINGLE, help="rules for all layers")
    parser.add_argument("--minutes", type=float, default=600.0, help="no search is begun after them")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/joint_search.json"))
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    contestants = {"joint": JOINT, "rules alone": {**JOINT, **MIDDLE}}
    singles = {f"topology alone, {rule}": {**JOINT, "rules": [rule]} for rule in options.single}
    contestants |= singles
    bench = Bench(options.out.with_suffix(".runs.jsonl"))
    until = time.monotonic() + 60 * options.minutes
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (*contestants, IN_TURN)}
    for seed in range(options.seeds):
        for name, space in contestants.items():
            if time.monotonic() > until:
                break
            found = bench.search(space, options.strategy, options.evaluations, seed)
            rows[name].append(found)
            print(f"{name}, seed {seed}: {found['held_out']:.4f}  {found['genotype']}", flush=True)
        else:
            rows[IN_TURN].append(bench.in_turn(list(singles.values()), options.strategy, options.evaluations, seed))
    table = []
    for name, found in rows.items():
        best = [row["held_out"] for row in found]
        if best:
            deviation = round(statistics.stdev(best), 4) if len(best) > 1 else None
            mean = round(statistics.mean(best), 4)
            table.append({"contestant": name, "mean": mean, "deviation": deviation, "searches": found})
    if options.plot:
        curves = {name: [[100 * value for value in row["curve"]] for row in found] for name, found in rows.items()}
        title = f"One search of {options.evaluations} networks each, Fashion-MNIST"
        plot(curves, "held-out accuracy, %", title, options.plot, colours=COLOURS)
    settings = {"strategy": options.strategy, "evaluations": options.evaluations, "seeds": options.seeds}
    complete = all(len(found) == options.seeds for found in rows.values())
    sizes = {name: build_space(space).size() for name, space in contestants.items()}
    record(
        "joint_search",
        {"complete": complete, **settings, "space": JOINT, "budget": BUDGET, "sizes": sizes, "rows": table},
        str(options.out),
    )


if __name__ == "__main__":
    main()
