"""A toy space and evaluators without torch, for tests of searches and of the bridge to NNI."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snn_nas.genotype import Cell, Gene, Genotype, Term
from snn_nas.search import Result


@dataclass(frozen=True)
class ToySpace:
    """`toy(a=..,b=..) { x }` with a, b in 0 .. n - 1."""

    n: int = 8

    def make(self, a: int, b: int) -> Genotype:
        return Genotype(Term.of("toy", a=a, b=b), (Cell((Gene(Term.of("x")),)),))

    def sample(self, rng: random.Random) -> Genotype:
        return self.make(rng.randrange(self.n), rng.randrange(self.n))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        a, b = genotype.settings["a"], genotype.settings["b"]
        for v in range(self.n):
            if v != a:
                yield self.make(v, b)
            if v != b:
                yield self.make(a, v)

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        return rng.choice(list(self.neighbours(genotype)))

    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        pick = rng.choice([mother, father])
        return self.make(pick.settings["a"], (father if pick is mother else mother).settings["b"])

    def encode(self, genotype: Genotype) -> dict[str, Any]:
        return dict(genotype.settings)

    def decode(self, parameters: Mapping[str, Any]) -> Genotype:
        return self.make(int(parameters["a"]), int(parameters["b"]))

    def search_space(self) -> dict[str, dict[str, Any]]:
        return {name: {"_type": "choice", "_value": list(range(self.n))} for name in ("a", "b")}

    def size(self) -> int:
        return self.n**2


def space(n: int = 8) -> ToySpace:
    return ToySpace(n)


def score(genotype: Genotype, seed: int = 0) -> Result:
    """A smooth accuracy, and an energy that argues with it."""
    a, b = genotype.settings["a"], genotype.settings["b"]
    metrics = {
        "accuracy": 1 / (1 + abs(a - 3) + abs(b - 5)),
        "energy_uJ": 1.0 + a + b,
        "synops": 1000.0 * (1 + a),
        "parameters": 100.0 * (1 + b),
        "latency_steps": 2.0 + b,
        "locality": a / (a + b + 1),
    }
    return Result(str(genotype), genotype.digest, "ok", metrics, seed=seed, epochs=2)


def quick(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: Any) -> Result:
    """An evaluator that reports two epochs and the score."""
    result = score(genotype, seed)
    time.sleep(float(settings.get("sleep", 0)))
    for epoch in (1, 2):
        on_epoch(epoch, {"accuracy": result.metrics["accuracy"] * epoch / 2})
    return result


def noted(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: Any) -> Result:
    """Writes down that it began, in the file `log`; then as `quick`."""
    with Path(settings["log"]).open("a", encoding="ascii") as file:
        file.write(f"{genotype.digest}\n")
    return quick(genotype, settings, seed, on_epoch)


def uneven(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: Any) -> Result:
    """Slow for some genotypes, so that trials finish out of order; some end badly, each in a way of its own."""
    kind = seed % 10
    time.sleep(0.6 * (seed % 4) / 3)
    if kind == 1:
        os._exit(9)
    if kind == 2:
        raise RuntimeError("this one crashes")
    if kind == 3:
        return Result(str(genotype), genotype.digest, "dead", {"accuracy": 0.1}, "no spikes", seed)
    if kind == 4:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        return score(genotype, len(bytearray(1 << 32)))  # more memory than it may have
    if kind == 5:
        Path("/dev/full").write_text("a disk without room", encoding="ascii")
    return quick(genotype, settings, seed, on_epoch)


def epochs(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: Any) -> Result:
    """Learns in `epochs` equal steps from nothing to its score."""
    result, last = score(genotype, seed), int(settings.get("epochs", 5))
    for epoch in range(1, last + 1):
        on_epoch(epoch, {"accuracy": result.metrics["accuracy"] * epoch / last})
    return replace(result, epochs=last)


def heirs(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: Any) -> Result:
    """Keeps its line of descent where a network keeps its weights; the score says how long it is."""
    line = Path(settings["start"]).read_text(encoding="ascii").split() if settings.get("start") else []
    if settings.get("keep"):
        Path(settings["keep"]).write_text(" ".join([*line, genotype.digest]), encoding="ascii")
    result = quick(genotype, settings, seed, on_epoch)
    metrics = {**result.metrics, "ancestors": float(len(line))}
    return replace(result, metrics=metrics, parent=line[-1] if line else "")


def small_space() -> ToySpace:
    return ToySpace(2)


class Fragile(ToySpace):
    """Fails at the fifth sample."""

    drawn = 0

    def sample(self, rng: random.Random) -> Genotype:
        type(self).drawn += 1
        if self.drawn > 4:
            raise RuntimeError("no more samples")
        return super().sample(rng)


def fragile_space() -> ToySpace:
    return Fragile()
