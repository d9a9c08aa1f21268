"""A synthetic run: real genotypes of the chain space, believable numbers, and every way in which a trial can end."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snn_nas.credit import check
from snn_nas.genotype import Genotype, parse
from snn_nas.graph import Graph, size
from snn_nas.search.journal import Journal
from snn_nas.search.result import Result
from snn_nas.spaces import registry
from snn_nas.spaces.chain import Chain

SHAPE, CLASSES, PROFILE = (1, 8, 8), 10, "45nm_fp32"
MIXED = (
    "chain(T=4) { conv(c=32,k=3)@stdp/lif; sepconv(c=32,k=3,skip=1)@local/lif; conv(c=64,k=3,down=avg)@dfa/lif; "
    "conv(c=64,k=3)@gradient/lif; conv(c=64,k=3,skip=1)@frsf/lif; readout(grid=4)@delta~usf }"
)
TRANSPORTED = (
    "chain(T=4) { conv(c=16,k=5)@dfa/lif(tau=3.0); conv(c=32,k=3,down=avg)@gradient/lif; "
    "conv(c=32,k=3,skip=1)@usf/lif; readout(grid=4)@delta~usf }"
)
MADE_UP = {
    "dead": "no spike reaches the output in layer3",
    "diverged": "the loss is NaN in epoch 1",
    "failed": "ran out of memory",
}


def space() -> Chain:
    return Chain(shape=SHAPE, classes=CLASSES, widths=(8, 16, 32), depth=(2, 3, 4))


def expand(genotype: Genotype) -> Graph:
    return registry.graph(genotype, SHAPE, CLASSES)


def metrics(genotype: Genotype, rng: random.Random) -> dict[str, float]:
    graph, credit = expand(genotype), check(expand(genotype))
    synops = sum(node.synapse.weights * math.prod(node.shape[1:]) * 0.4 for node in graph.layers if node.synapse)
    accuracy = 0.99 - 0.25 * rng.random() ** 2 - 0.5 / math.log2(synops) * rng.random()
    return {
        "accuracy": accuracy,
        "energy_uJ": synops * 0.9e-6,
        "synops": synops,
        "parameters": graph.weights + 300,
        "locality": credit.locality,
        "T": graph.T,
        "latency_steps": graph.T + len(graph.layers) - 1,
        "learning_energy_uJ": synops * 4e-6,
    }


def result(genotype: Genotype, number: int, rng: random.Random) -> Result:
    status = {5: "dead", 11: "diverged", 17: "failed", 23: "dead"}.get(number % 40, "ok")
    found = metrics(genotype, rng) if status == "ok" else {}
    return Result(str(genotype), genotype.digest, status, found, MADE_UP.get(status, ""), seed=number, epochs=4)  # type: ignore[arg-type]


def winner(genotype: Genotype) -> dict[str, Any]:
    rng = random.Random(1)
    graph, credit = expand(genotype), check(expand(genotype))
    found = metrics(genotype, rng)
    measured = {
        **{key: found[key] for key in ("energy_uJ", "learning_energy_uJ", "synops", "parameters", "locality", "T")},
        "latency_steps": 7,
        "latency_us": 23.4,
        "validation_accuracy": 0.978,
        "test_accuracy": 0.9722,
        "mean_rate": 0.112,
        "spikes_per_synapse": 0.45,
    }
    twin = {
        **measured,
        "validation_accuracy": 0.986,
        "test_accuracy": 0.9805,
        "energy_uJ": found["energy_uJ"] * 1.12,
        "locality": 0.02,
    }
    layers = []
    for node in credit.graph.layers:
        assert node.synapse is not None
        rate = None if node.readout else rng.uniform(0.02, 0.25)
        spikes = None if rate is None else rate * size(node.shape) * graph.T
        synops = node.synapse.weights * rng.uniform(3, 20)
        layers.append(
            {
                "name": node.name,
                "rule": node.pair.name,
                "share": credit.share[node.name],
                "weights": node.synapse.weights,
                "rate": rate,
                "spikes": spikes,
                "synops": synops,
                "energy_pJ": synops * 0.9,
            }
        )
    history = [
        {"number": n, "loss": 2.3 * math.exp(-n / 5) + 0.05, "accuracy": 0.98 - 0.6 * math.exp(-n / 4), "seconds": 2.1}
        for n in range(1, 21)
    ]
    return {
        "genotype": str(genotype),
        "digest": genotype.digest,
        "data": "digits",
        "data_title": "scikit-learn digits",
        "shape": list(SHAPE),
        "classes": CLASSES,
        "profile": PROFILE,
        "metrics": measured,
        "twin": twin,
        "rate_twin": {"bits": 3, "energy_uJ": found["energy_uJ"] * 0.8, "wins": "rate", "turning_rate": 0.061},
        "shares": credit.shares,
        "layers": layers,
        "history": history,
        "conditions": {
            "test_opened": [{"reason": "final accuracy", "at": "2025-11-21"}],
            "device": "CPU, 2 cores",
            "versions": {"python": "3.11.9", "torch": "2.11.0", "snn-nas": "0.1.0"},
            "commit": "f65350c-dirty",
            "seed": 7,
            "epochs": 20,
            "train": 1078,
            "validation": 359,
            "test": 360,
        },
        "files": {
            "weights": "winner/weights.safetensors",
            "nir": None,
            "genotype": "winner/genotype.txt",
            "nir_reason": "max pooling has no node in NIR",
        },
    }


def write_run(folder: Path, trials: int = 40, genotype: str = MIXED) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(3)
    chain = space()
    best = registry.canonical(parse(genotype), SHAPE, CLASSES)
    results = [result(chain.sample(rng), number, rng) for number in range(trials - 1)]
    results.append(Result(str(best), best.digest, "ok", metrics(best, rng), seed=99, epochs=4))
    journal = Journal(folder / "trials.jsonl")
    lines = [json.dumps(each.to_json()) for each in results]
    journal.path.write_text("\n".join(lines) + "\n")
    (folder / "winner").mkdir(exist_ok=True)
    (folder / "winner" / "winner.json").write_text(json.dumps(winner(best)))
    (folder / "search.json").write_text(
        json.dumps(
            {
                "experiment": "a1b2c3d4",
                "config": "experiments/quickstart.yml",
                "strategy": "evolution",
                "space": "chain",
                "space_size": 10**12 + 7,
                "objectives": ["accuracy", "energy_uJ"],
                "front": ["accuracy", "energy_uJ", "locality"],
                "seed": 7,
                "trials": trials,
                "seconds": 231.4,
                "profile": PROFILE,
            }
        )
    )
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """`make_run(trials=40, genotype=...)` writes a run and returns its folder."""
    return lambda **how: write_run(tmp_path / "run", **how)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that no test changes."""
    return write_run(tmp_path_factory.mktemp("report") / "run")
