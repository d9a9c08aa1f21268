"""NNI experiments over the toy space, and our tuner without NNI's manager."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from snn_nas.nni import server
from tests import REPOSITORY

TOY = "tests.contracts.toy:"


def write(
    folder: Path,
    name: str,
    *,
    trials: int,
    command: str = "",
    space: str = "space",
    tuner: str = "",
    title: str = "",
    n: int = 8,
    **args: object,
) -> Path:
    """An NNI configuration over the toy space; `tuner` is the name of one of NNI's own."""
    config = {
        "experimentName": title or name,
        "experimentWorkingDirectory": str(folder / "runs"),
        "trialCommand": command or f"python -m snn_nas.nni.trial --evaluator {TOY}quick",
        "trialCodeDirectory": str(REPOSITORY),
        "trialConcurrency": 2,
        "maxTrialNumber": trials,
        "searchSpace": {name: {"_type": "choice", "_value": list(range(n))} for name in "ab"},
        "tuner": {
            "codeDirectory": str(REPOSITORY),
            "className": "snn_nas.nni.tuner.StrategyTuner",
            "classArgs": {
                "space": {"factory": TOY + space, **({"n": n} if n != 8 else {})},
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


def left_over(folder: Path) -> list[str]:
    """Processes that were started for experiments in this folder, by their commands and environments."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and str(folder) in f"{words} {process.environ()}":
                found.append(words)
    return found


def bare_environment() -> dict[str, str]:
    """What a user's shell gives `nnictl`: no shim."""
    kept = ("NODE_OPTIONS", "SNN_NAS_HOST")
    return {name: value for name, value in server.environment().items() if name not in kept}


class Channel:
    """One trial's, without NNI: `epochs` and `finals` keep what it reports, results as JSON gives them back."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given, self.epochs, self.finals = dict(given), list[Any](), list[dict[str, Any]]()

    def parameters(self) -> dict[str, Any]:
        return self.given

    def intermediate(self, value: Any) -> None:
        self.epochs.append(value)

    def final(self, value: Any) -> None:
        self.finals.append(json.loads(json.dumps(value, allow_nan=False)))


class Tuner:
    """Our tuner on its own: commands go in, what it would send to the manager is kept in `sent`.

    Where it would end the process with a reason, `reason` has it instead.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, folder: Path, *, mended: bool = True, words: Sequence[str] = (), **args: Any
    ) -> None:
        from nni.runtime import msg_dispatcher_base as base

        from snn_nas.nni import tuner

        alone = base.dispatcher_env_vars._replace(NNI_TUNER_COMMAND_CHANNEL="ws://_unittest_")
        patch.setattr(base, "dispatcher_env_vars", alone)
        patch.setattr(tuner, "die_with_manager", lambda: None)
        patch.setattr(sys, "argv", ["nni", *words])
        patch.setenv("NNI_CHECKPOINT_DIRECTORY", str(folder))
        patch.setenv("NNI_TUNER_COMMAND_CHANNEL", "ws://localhost:8080/tuner")
        if mended:
            patch.setenv("SNN_NAS_MANAGER", server.LOOPBACK)
        else:
            patch.delenv("SNN_NAS_MANAGER", raising=False)
        self.sent: list[tuple[Any, Any]] = []
        self.reason = ""
        self.tuner = tuner.StrategyTuner(**args)
        patch.setattr(self.tuner, "send", lambda command, data: self.sent.append((command, data)))
        patch.setattr(self.tuner, "_fail", self._failed)

    def command(self, kind: Any, data: Any) -> None:
        self.tuner.process_command(kind, data)

    def trials(self) -> list[dict[str, Any]]:
        """The trials that it asked for."""
        return [json.loads(data) for command, data in self.sent if command.name == "NewTrialJob"]

    def _failed(self, error: BaseException) -> None:
        self.reason = str(error)
