"""A clock that is set back an hour and then forward a day, in the middle of a search: nothing but its times changes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from snn_nas.nni.experiment import Experiment
from tests.nni.rig import TOY, left_over, write
from tests.nni.test_life import expected_order

pytestmark = pytest.mark.nni

JUMPS = (0, -3600, 86400)
TRIALS = 9


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the shift, which every process that is started from now on looks at."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler on this machine: install gcc")
    library, shift = tmp_path / "clock.so", tmp_path / "shift"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    shift.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("SHIFTED_CLOCK", str(shift))
    return shift


def test_a_clock_that_jumps(runs: Path, clock: Path) -> None:
    command = f"python -m snn_nas.nni.trial --evaluator {TOY}quick sleep=0.3"
    config = write(runs, "clock", trials=TRIALS, command=command, seed=6)
    with Experiment(config, folder=runs / "runs") as experiment:
        for snapshot in experiment.watch():
            clock.write_text(str(JUMPS[min(snapshot.done * len(JUMPS) // TRIALS, len(JUMPS) - 1)]))
        results = experiment.results()
        order = json.loads((experiment.folder / "checkpoint" / "search.json").read_text())["search"]["order"]
        times = [job["endTime"] for job in experiment.running.get("trial-jobs")]
    assert max(times) - min(times) > 80_000_000, "NNI saw the clock jump"
    assert snapshot.elapsed < 3000
    assert len(results) == TRIALS
    assert all(result.ok for result in results)
    assert order[:TRIALS] == expected_order(TRIALS, 6)
    assert not left_over(runs)
