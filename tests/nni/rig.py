"""NNI experiments over the toy space."""

from __future__ import annotations

from pathlib import Path

import yaml

from snn_nas.nni import server

REPOSITORY = Path(__file__).parents[2]
CHOICES = {"_type": "choice", "_value": list(range(8))}


TOY = "tests.contracts.toy:"


def write(
    folder: Path, name: str, *, trials: int, command: str = "", space: str = "space", tuner: str = "", **args: object
) -> Path:
    """An NNI configuration over the toy space; `tuner` is the name of one of NNI's own."""
    config = {
        "experimentName": name,
        "experimentWorkingDirectory": str(folder / "runs"),
        "trialCommand": command or f"python -m snn_nas.nni.trial --evaluator {TOY}quick",
        "trialCodeDirectory": str(REPOSITORY),
        "trialConcurrency": 2,
        "maxTrialNumber": trials,
        "searchSpace": {"a": CHOICES, "b": CHOICES},
        "tuner": {
            "codeDirectory": str(REPOSITORY),
            "className": "snn_nas.nni.tuner.StrategyTuner",
            "classArgs": {
                "space": {"factory": TOY + space},
                "strategy": {"name": "evolution", "population": 6},
                **args,
            },
        },
        "trainingService": {"platform": "local"},
    }
    if tuner:
        config["tuner"] = {"name": tuner}
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(config))
    (folder / "runs").mkdir(exist_ok=True)
    return path


def bare_environment() -> dict[str, str]:
    """What a user's shell gives `nnictl`: no shim."""
    kept = ("NODE_OPTIONS", "SNN_NAS_HOST")
    return {name: value for name, value in server.environment().items() if name not in kept}
