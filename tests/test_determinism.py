"""Two quickstarts with one seed are equal to the last bit, and so is one that was interrupted (promise 5).

The quickstart's own configuration with fewer images and epochs, in this process. That trials under NNI are proposed in
the same order whatever finishes first is tested in tests/nni; whole quickstarts run one after another in `make soak`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from snn_nas.cli.configuration import Configuration, read
from snn_nas.conclusion import choose, conclude, prepare
from snn_nas.genotype import parse
from snn_nas.nni.in_process import search
from snn_nas.nni.study import Study
from snn_nas.search import Result
from tests import REPOSITORY

CONFIG = REPOSITORY / "experiments" / "quickstart.yml"
TRIALS = 4


@pytest.fixture(scope="module")
def asked() -> Configuration:
    return read(CONFIG, None, ("train=600", "validation=100", "epochs=2", "energy_images=20"))


def quickstart(folder: Path, asked: Configuration, seed: int, interrupted: bool = False) -> list[Result]:
    folder.mkdir()
    given = {**asked.raw["tuner"]["classArgs"], "seed": seed}
    if interrupted:
        assert search(Study(folder, given), asked.settings, TRIALS // 2)
    study = Study(folder, given)
    assert search(study, asked.settings, TRIALS)
    return study.results


def winner(folder: Path, asked: Configuration, result: Result) -> dict[str, Any]:
    genotype = parse(result.genotype)
    data = prepare(genotype, asked.settings)
    record = conclude(genotype, asked.settings, folder, data, seed=5, twin=False)
    record = json.loads(json.dumps(record, default=str))
    for epoch in record["history"]:
        del epoch["seconds"]
    del record["conditions"]
    record["weights"] = (folder / "weights.safetensors").read_bytes()
    return record


def test_one_seed_gives_one_search_and_one_winner_interrupted_or_not(tmp_path: Path, asked: Configuration) -> None:
    first = quickstart(tmp_path / "first", asked, 0)
    second = quickstart(tmp_path / "second", asked, 0)
    third = quickstart(tmp_path / "third", asked, 0, interrupted=True)
    assert first == second == third
    assert (tmp_path / "first" / "journal.jsonl").read_bytes() == (tmp_path / "third" / "journal.jsonl").read_bytes()
    assert any(result.ok and result.metrics["accuracy"] > 0.15 for result in first), [r.reason for r in first]
    best = choose(first)
    assert winner(tmp_path / "a", asked, best) == winner(tmp_path / "b", asked, best)
