"""The quickstart again and again with one seed: every run gives the same trials and the same winner.

The last one is killed with SIGKILL on the way and resumed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from snn_nas.nni import server
from snn_nas.nni.experiment import Experiment
from snn_nas.nni.study import read_journal
from snn_nas.search import Journal, Result
from tests import REPOSITORY
from tests.nni.rig import left_over

CONFIG = REPOSITORY / "experiments" / "quickstart.yml"
SETTINGS = ("epochs=2",)


def run(folder: Path, *, times: int, trials: int, seed: int = 0) -> dict[str, Any]:
    """`times` quickstarts through the command line, and one more that is killed and resumed.

    Raises:
        AssertionError: two of them differ, or a process is left.
    """
    began, seconds = time.monotonic(), []
    found: list[tuple[list[Result], dict[str, Any]]] = []
    for number in range(times):
        started = time.monotonic()
        found.append(_quickstart(folder / str(number), trials, seed))
        seconds.append(round(time.monotonic() - started, 1))
        assert not left_over(folder)
        assert found[0] == found[-1], f"quickstart {number} differs from the first"
    resumed = _killed(folder / "killed", trials, seed)
    assert resumed == found[0][0], "the resumed quickstart differs"
    winner = found[0][1]
    return {
        "runs": times,
        "trials": trials,
        "seconds": seconds,
        "equal": True,
        "resumed_equal": True,
        "winner": winner["genotype"],
        "winner_test_accuracy": winner["metrics"]["test_accuracy"],
        "seconds_in_all": round(time.monotonic() - began, 1),
    }


def _quickstart(out: Path, trials: int, seed: int) -> tuple[list[Result], dict[str, Any]]:
    words = ["search", "--config", str(CONFIG), "--out", str(out), "--trials", str(trials), "--seed", str(seed)]
    words += [word for setting in SETTINGS for word in ("--set", setting)] + ["--final-epochs", "2"]
    command = [sys.executable, "-m", "snn_nas", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = {path.resolve() for path in out.glob("*/winner/winner.json")}  # NNI links the latest as _latest
    kept = json.loads(record.read_text(encoding="utf-8"))
    winner = {key: kept[key] for key in ("genotype", "metrics", "twin", "shares")}
    return _in_order(record.parents[1] / "checkpoint"), winner


def _killed(out: Path, trials: int, seed: int) -> list[Result]:
    experiment = Experiment(CONFIG, folder=out, trials=trials, seed=seed, words=SETTINGS)
    experiment.start()
    try:
        for snapshot in experiment.watch():
            if snapshot.done >= trials // 2:
                break
        experiment.running.process.kill()
        end = time.monotonic() + 60
        while left_over(out):
            assert time.monotonic() < end, left_over(out)
            time.sleep(0.2)
        experiment.server = server.resume(experiment.id)
        list(experiment.watch())
    finally:
        experiment.stop()
    assert not left_over(out)
    return _in_order(experiment.folder / "checkpoint")


def _in_order(checkpoint: Path) -> list[Result]:
    """The results in the order of the proposals: which of two trials ends first is chance."""
    order = json.loads((checkpoint / "search.json").read_text(encoding="utf-8"))["search"]["order"]
    results = read_journal(Journal(checkpoint / "journal.jsonl"))
    return sorted(results, key=lambda result: order.index(result.digest))
