"""Claim: rules learn, not only compute: each against `frozen`, and against `bp`, in the same place of the same network.

Three groups of contestants, all in chains of 5x5, 3x3 and 3x3 convolutions with 32, 64 and 64 channels, average pools
after the first two, a linear readout on an 8x8 grid, LIF:

- `only`: a rule without transported error trains every hidden layer of the first 1, 2 or 3.
- `deep`: a rule that gets an error trains all three.
- `first`: an unsupervised rule, or `frozen`, trains the first of three layers under two of another rule.

How hard neurons are driven and how images are encoded decides what even a frozen layer is worth. So every contestant,
`frozen` included, is first tuned, with as many tries for each of a group: thresholds x encodings (x depths for
`only`), few images, one seed, on one half of the validation images. Then it is trained on all images with several
seeds, and measured on the other half, last epoch. The test split stays shut. Those of whom more is asked than three
seeds can tell, `--closer`, get six.

Every run is kept as a line of a journal beside the record, so that a benchmark cut short goes on where it was; it runs
seed by seed, so that it is then short of seeds and not of rules. The effective rank of a layer's filters (exponential
of the entropy of their singular values) says how diverse they are. CIFAR-10 here is a JPEG-75 copy: its accuracies are
not comparable with published ones.

    python -m benchmarks.rules_learn --out benchmarks/results/rules_learn.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import Runs, record
from rules.registry import pair
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.conditions import place, places
from snn_nas.genotype import parse
from snn_nas.training import Training, accuracy, train

PLACES = ((32, 5, "avg"), (64, 3, "avg"), (64, 3, "none"))
UNSUPERVISED = ("frozen", "stdp", "softhebb", "rstdp", "hippo")
SUPERVISED = (
    "bp",
    "usf",
    "brsf",
    "frsf",
    "kp",
    "fa",
    "dfa",
    "dfa(feedback=shared)",
    "dfa(feedback=learned)",
    "drtp",
    "eprop",
    "eprop(feedback=random)",
    "eprop(feedback=shared)",
    "ottt~exact",
    "ottt~usf",
    "local",
    "local(pool=4)",
    "predsim",
)
ABOVE = ("frsf", "local(pool=4)")


@dataclass(frozen=True)
class Contestant:
    """A rule in its place: the rules of all hidden layers, and how they are driven."""

    group: str
    rules: tuple[str, ...]
    threshold: float = 1.0
    encoding: str = "direct"

    @property
    def name(self) -> str:
        """What is compared: whatever was tuned is left out."""
        return self.rules[0] if self.group != "first" else f"{self.rules[0]} under {self.rules[-1]}"

    def genotype(self, T: int) -> str:
        """As text."""
        neuron = f"lif(threshold={self.threshold})"
        placed = zip(self.rules, PLACES, strict=False)
        layers = [f"conv(c={c},k={k},down={down})@{rule}/{neuron}" for rule, (c, k, down) in placed]
        name, _, transport = self.rules[-1].partition("(")[0].partition("~")
        carrier = pair(name, transport or None).transport
        readout = f"readout(grid=8)@delta~{carrier}"
        return f"chain(T={T},encoding={self.encoding}){{{'; '.join([*layers, readout])}}}"


def field(options: argparse.Namespace) -> Iterator[Contestant]:
    """Everyone, before tuning."""
    for rule in options.only:
        yield Contestant("only", (rule,))
    for rule in options.deep:
        yield Contestant("deep", (rule,) * 3)
    for above in options.above:
        for rule in options.first:
            yield Contestant("first", (rule, above, above))


def tries(one: Contestant, options: argparse.Namespace) -> Iterator[Contestant]:
    """The settings among which a contestant is tuned."""
    depths = options.depths if one.group == "only" else [len(one.rules)]
    for depth in depths:
        for threshold in options.thresholds:
            for encoding in options.encodings:
                rules = one.rules * depth if one.group == "only" else one.rules
                yield replace(one, rules=rules, threshold=threshold, encoding=encoding)


class Bench:
    """Runs networks, or remembers that they were run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.journal = Runs(Path(options.out).with_suffix(".runs.jsonl")) if options.out else None
        self.known = {row["key"]: row for row in (self.journal.read() if self.journal else ())}
        whole = data_sets.load(options.data, train=options.train, validation=options.validation)
        half = options.validation // 2
        self.tuning = replace(
            whole, train=whole.train.first(options.tune_train), validation=whole.validation.first(half)
        )
        self.final = replace(whole, validation=whole.validation.after(half))

    def run(self, one: Contestant, phase: str, seed: int) -> dict[str, Any]:
        """Train one network, once for all."""
        options, data = self.options, self.tuning if phase == "tune" else self.final
        epochs = options.tune_epochs if phase == "tune" else options.epochs
        text = one.genotype(options.T)
        key = f"{phase} {len(data.train)} {epochs} {seed} {text}"
        if key not in self.known:
            started = time.perf_counter()
            torch.manual_seed(seed)
            network = networks.build(parse(text), data.shape, data.classes, normalise=data.normalise)
            network.to(options.device)
            batch = options.tune_batch if phase == "tune" else options.batch
            training = Training(epochs=epochs, batch_size=batch, precision=options.precision)
            unseen = replace(data, validation=data.validation.first(2))  # measured once, at the end
            train(network, unseen, training, seed=seed, device=options.device)
            row = {
                "key": key,
                "accuracy": round(accuracy(network, data.validation, device=options.device), 4),
                "ranks": [round(effective_rank(layer.synapse.weight), 1) for layer in network][:-1],
                "seconds": round(time.perf_counter() - started, 1),
                **place(options.device),
            }
            self.known[key] = row
            if self.journal:
                self.journal.append(row)
            print(f"{row['accuracy']:.3f} {row['seconds']:6.1f} s  {key}", flush=True)
        return self.known[key]


def effective_rank(weight: Tensor) -> float:
    """How many directions the filters span."""
    share = torch.linalg.svdvals(weight.detach().flatten(1).double())
    share = share / share.sum()
    return float(torch.exp(-(share * share.clamp_min(1e-12).log()).sum()))


def margins(rows: list[dict[str, Any]]) -> None:
    """Set each row's distance to `frozen` and to `bp`, where they stand in its place, over the seeds that both have."""
    of = {(row["group"], row["contestant"]): row for row in rows}

    def ahead(row: dict[str, Any] | None, other: dict[str, Any] | None) -> float | None:
        if row is None or other is None:
            return None
        mine, theirs = ({run["seed"]: run["accuracy"] for run in one["runs"]} for one in (row, other))
        return round(statistics.mean(mine[seed] - theirs[seed] for seed in mine.keys() & theirs.keys()), 4)

    for row in rows:
        first = row["group"] == "first"
        frozen = of.get(("first", f"frozen under {row['rules'][-1]}") if first else ("only", "frozen"))
        row["over_frozen"] = ahead(row, frozen)
        row["under_bp"] = ahead(of.get(("deep", "bp")), row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10_jpeg")
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--validation", type=int, default=5000, help="half of it for tuning, half for the result")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tune-train", type=int, default=2000)
    parser.add_argument("--tune-epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tune-batch", type=int, default=32, help="smaller: few images shall not mean few steps")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--closer", nargs="*", default=("bp", "brsf", "frsf"), help="of --deep, with more seeds")
    parser.add_argument("--closer-seeds", type=int, default=6)
    parser.add_argument("--T", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=UNSUPERVISED)
    parser.add_argument("--deep", nargs="*", default=SUPERVISED)
    parser.add_argument("--first", nargs="*", default=("frozen", "stdp", "softhebb"))
    parser.add_argument("--above", nargs="*", default=ABOVE)
    parser.add_argument("--depths", nargs="*", type=int, default=[1, 2, 3])
    parser.add_argument("--thresholds", nargs="*", type=float, default=[0.5, 1.0])
    parser.add_argument("--encodings", nargs="*", default=["direct", "whiten"])
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", help="file for the JSON record; its journal lies beside it")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench = Bench(options)
    tuned = []
    for one in field(options):
        scores = {each: bench.run(each, "tune", seed=100)["accuracy"] for each in tries(one, options)}
        tuned.append((max(scores, key=scores.__getitem__), len(scores)))
    rows: list[dict[str, Any]] = [
        {"contestant": one.name, **asdict(one), "genotype": one.genotype(options.T), "tries": tried, "runs": []}
        for one, tried in tuned
    ]
    settings = {key: value for key, value in vars(options).items() if key != "out"}
    for seed in range(max(options.seeds, options.closer_seeds)):
        for (one, _), row in zip(tuned, rows, strict=True):
            if seed >= options.seeds and (one.group != "deep" or one.name not in options.closer):
                continue
            found = bench.run(one, "final", seed)
            row["runs"].append(
                {"seed": seed, **{key: found[key] for key in ("accuracy", "ranks", "seconds", "commit", "device")}}
            )
            accuracies = [each["accuracy"] for each in row["runs"]]
            row["mean"] = round(statistics.mean(accuracies), 4)
            row["deviation"] = round(statistics.stdev(accuracies), 4) if len(accuracies) > 1 else None
        margins(rows)
        result = {
            "data": bench.final.title,
            "settings": settings,
            "complete": seed + 1 == max(options.seeds, options.closer_seeds),
            "images_held_out": len(bench.final.validation),
            "ran_at": places(bench.known.values()),
            "rows": rows,
        }
        record("rules_learn", result, options.out, options.device)


if __name__ == "__main__":
    main()
