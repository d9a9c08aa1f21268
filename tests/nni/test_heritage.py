"""Weights are inherited under NNI as they are in process: several trials at once, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from snn_nas.nni.experiment import Experiment
from snn_nas.nni.study import Study
from tests.nni.rig import TOY, write
from tests.search.test_heritage import lineage, run_some

TRIALS = 14


@pytest.mark.nni
def test_the_same_children_inherit_from_the_same_parents(runs: Path, tmp_path: Path) -> None:
    command = f"python -m snn_nas.nni.trial --evaluator {TOY}heirs"
    config = write(runs, "heirs", trials=TRIALS, command=command, seed=4, inherit={"keep": 5})
    with Experiment(config, folder=runs / "runs") as experiment:
        list(experiment.watch())
        found = lineage(experiment.results())
        checkpoint = experiment.folder / "checkpoint"
        order = json.loads((checkpoint / "search.json").read_text())["search"]["order"][:TRIALS]
        files = {path.name for path in (checkpoint / "weights").iterdir()}
    study = Study(tmp_path, yaml.safe_load(config.read_text())["tuner"]["classArgs"])
    run_some(study, TRIALS)
    expected = lineage(study.results)
    assert [found[digest] for digest in order] == [expected[digest] for digest in order]
    assert any(parent for parent, _ in expected.values())
    assert f"{order[-1]}.safetensors" in files
    assert len(files) <= 5 + 2 * 2
