from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from snn_nas.nni import server

REPOSITORY = Path(__file__).parents[2]
CONTRACTS = REPOSITORY / "tests" / "contracts"
sys.path.insert(0, str(CONTRACTS))

CHOICES = {"_type": "choice", "_value": list(range(8))}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for experiments, and a home of its own for NNI's list of them."""
    folder = tmp_path_factory.mktemp("nni")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        patch.delenv("NODE_OPTIONS", raising=False)
        (folder / "home").mkdir()
        yield folder


def write(folder: Path, name: str, *, trials: int, command: str = "", space: str = "toy:space", **args: object) -> Path:
    """An NNI configuration over the toy space."""
    config = {
        "experimentName": name,
        "experimentWorkingDirectory": str(folder / "runs"),
        "trialCommand": command or "python -m snn_nas.nni.trial --evaluator toy:quick",
        "trialCodeDirectory": str(CONTRACTS),
        "trialConcurrency": 2,
        "maxTrialNumber": trials,
        "searchSpace": {"a": CHOICES, "b": CHOICES},
        "tuner": {
            "codeDirectory": str(CONTRACTS),
            "className": "snn_nas.nni.tuner.StrategyTuner",
            "classArgs": {"space": {"factory": space}, "strategy": {"name": "evolution", "population": 6}, **args},
        },
        "trainingService": {"platform": "local"},
    }
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(config))
    (folder / "runs").mkdir(exist_ok=True)
    return path


def bare_environment() -> dict[str, str]:
    """What a user's shell gives `nnictl`: no shim."""
    kept = ("NODE_OPTIONS", "SNN_NAS_HOST")
    return {name: value for name, value in server.environment().items() if name not in kept}
