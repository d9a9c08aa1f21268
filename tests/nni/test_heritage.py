"""Weights are inherited under NNI as they are in process: several trials at once, each in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from snn_nas.evaluation import EvaluationSettings, fit
from snn_nas.export import weights
from snn_nas.genotype import parse
from snn_nas.nni.experiment import Experiment
from snn_nas.nni.messages import numbers
from snn_nas.nni.study import Study
from snn_nas.nni.trial import run
from snn_nas.search.heritage import file_of
from tests.nni.rig import TOY, Channel, write
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


BUDGET = {"data": "digits", "train": 400, "validation": 100, "epochs": 1, "batch_size": 16, "device": "cpu"}
PARENT = parse("chain(T=2){conv(c=16,down=avg)@local/lif(threshold=0.5); readout@delta~usf}")


@pytest.mark.parametrize("bars", [(), (0.999,)], ids=["ok", "stopped"])
def test_the_parent_of_a_result_is_the_one_that_it_started_from(tmp_path: Path, bars: tuple[float, ...]) -> None:
    """And none where its file is damaged, for then the trial trains from scratch: however the trial ends."""
    settings = EvaluationSettings.of(BUDGET)
    file = file_of(tmp_path, PARENT.digest)
    weights.save(fit(PARENT, settings, settings.load(), 1)[0], file)
    child = str(PARENT).replace("@local", "@usf")
    given = {"genotype": child, "stop_below": numbers(bars), "parent": PARENT.digest, "weights": str(tmp_path)}
    for parent in (PARENT.digest, ""):
        result = run(Channel(given), BUDGET, "", "")
        assert (result.status, result.parent) == ("stopped" if bars else "ok", parent), result.reason
        file.write_bytes(b"damaged")
