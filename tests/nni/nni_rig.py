"""NNI experiments over the toy space."""

from __future__ import annotations

from pathlib import Path

import yaml

from snn_nas.nni import server

REPOSITORY = Path(__file__).parents[2]
CONTRACTS = REPOSITORY / "tests" / "contracts"
CHOICES = {"_type": "choice", "_value": list(range(8))}


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
