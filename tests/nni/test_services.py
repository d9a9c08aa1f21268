"""The configurations for other machines, held against NNI's own schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from nni.experiment.config import ExperimentConfig

from snn_nas.nni.config import read_config
from tests import REPOSITORY

EXPERIMENTS = REPOSITORY / "experiments"


def schema(config: dict[str, Any], folder: Path) -> ExperimentConfig:
    """What NNI makes of it.

    Raises:
        Exception: NNI refuses it.
    """
    for machine in config["trainingService"].get("machineList", []):
        (folder / "key").touch()
        machine["sshKeyFile"] = str(folder / "key")
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config))
    loaded = ExperimentConfig.load(str(path))
    loaded.validate()
    return loaded.canonical_copy()


@pytest.mark.parametrize(("name", "platform"), [("remote", "remote"), ("kubernetes", "frameworkcontroller")])
def test_nni_takes_the_configuration(name: str, platform: str, tmp_path: Path) -> None:
    found = schema(read_config(EXPERIMENTS / f"{name}.yml"), tmp_path)
    assert found.training_service.platform == platform
    assert found.trial_command.startswith("python -m snn_nas.nni.trial ")
    assert found.tuner.class_name == "snn_nas.nni.tuner.StrategyTuner"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("remote", {"machineList": []}),
        ("remote", {"machinelist": [{"host": "a"}]}),
        ("kubernetes", {"storage": {"storageType": "floppy"}}),
        ("kubernetes", {"taskRoles": [{"name": "worker"}]}),
    ],
)
def test_nni_refuses_a_wrong_one(name: str, change: dict[str, Any], tmp_path: Path) -> None:
    config = read_config(EXPERIMENTS / f"{name}.yml")
    config["trainingService"] |= change
    with pytest.raises((ValueError, AssertionError, AttributeError, TypeError, KeyError)):
        schema(config, tmp_path)


def test_a_pod_runs_what_is_checked() -> None:
    """NNI wants the command twice; our checks, and `--set`, look at the first."""
    config = read_config(EXPERIMENTS / "kubernetes.yml")
    assert [role["command"] for role in config["trainingService"]["taskRoles"]] == [config["trialCommand"]]
