"""The time left is that of the trials that are left: not of those that a resumed search had, nor of a supernet."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_nas.nni.experiment import Experiment
from snn_nas.search.result import Result
from tests.nni.rig import write

RESULT = Result("toy(a=0,b=0) { x }", "0")


class Looks:
    """An experiment of 20 trials whose clock, results and news are given."""

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path) -> None:
        self.now, self.news = 0.0, ""
        patch.setattr("snn_nas.nni.experiment.time.monotonic", lambda: self.now)
        self.experiment = Experiment(write(folder, "eta", trials=20), folder=folder)
        patch.setattr(self.experiment, "_news", lambda: self.news)

    def __call__(self, now: float, done: int, news: str = "") -> float | None:
        self.now, self.news = now, news
        return self.experiment._snapshot("RUNNING", [RESULT] * done).eta


def test_of_a_search_from_its_beginning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    look = Looks(monkeypatch, tmp_path)
    assert [look(0, 0), look(1, 0)] == [None, None]
    assert look(11, 1) == 190  # 19 trials of 10 s
    assert look(16, 3) == 85  # 17 of 5 s: the time that one took on average, whatever the last one did
    assert look(51, 20) == 0


def test_after_a_resume_only_new_results_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    look = Looks(monkeypatch, tmp_path)
    assert look(5, 8) is None, "what the journal has"
    assert look(6, 10) is None, "what NNI knew and the journal did not"
    assert look(7, 10) is None
    assert look(37, 11) == 9 * 30


def test_the_training_of_a_supernet_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    look = Looks(monkeypatch, tmp_path)
    assert [look(0, 0), look(1, 0), look(2, 0, "supernet 1%"), look(600, 0, "supernet 99%")] == [None] * 4
    assert look(601, 0) is None
    assert look(611, 1) == 190
