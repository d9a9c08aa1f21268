"""What happens when the machine fails: nothing that was finished is lost, and what cannot go on says so in one line."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.runtime.tuner_command_channel import CommandType

from neurons.errors import UserError
from snn_nas.nni import server
from snn_nas.nni.database import finals
from snn_nas.nni.experiment import Experiment
from snn_nas.nni.lifeline import hold
from snn_nas.nni.study import Study
from snn_nas.search import Journal
from tests import REPOSITORY
from tests.contracts.toy import score
from tests.nni.rig import TOY, Tuner, write

ARGS: dict[str, Any] = {
    "space": {"factory": f"{TOY}space"},
    "strategy": {"name": "evolution", "population": 3},
    "seed": 7,
}
TRIALS = 6


def search(folder: Path, done: list[str]) -> None:
    """Start or continue a search; `done` gets the genotypes whose results were taken, as soon as they were."""
    study = Study(folder, ARGS)
    study.start(2)
    while len(study.results) < TRIALS:
        waiting = study.outstanding()
        while len(waiting) < 2 and study.ask() is not None:
            waiting = study.outstanding()
        result = score(waiting[0])
        assert study.tell(result)
        done.append(result.genotype)


class FullDisk:
    """Fails from the n-th write on: it keeps only a part of what was to be written, and says that there is no room."""

    def __init__(self, patch: pytest.MonkeyPatch, after: int) -> None:
        self.left = after
        patch.setattr(os, "fsync", self)

    def __call__(self, file: int) -> None:
        self.left -= 1
        if self.left < 0:
            os.ftruncate(file, os.fstat(file).st_size - 20)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_fills_up_at_any_write_loses_nothing_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    undisturbed: list[str] = []
    (tmp_path / "whole").mkdir()
    search(tmp_path / "whole", undisturbed)
    expected = (tmp_path / "whole" / "journal.jsonl").read_text()
    for after in range(100):
        folder, done = tmp_path / str(after), list[str]()
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(patch, after)
            with contextlib.suppress(OSError):
                search(folder, done)
                break
        kept = [result.genotype for result in Study(folder, ARGS).results]
        assert kept[: len(done)] == done
        assert len(kept) <= len(done) + 1
        search(folder, done := [])  # there is room again
        assert (folder / "journal.jsonl").read_text() == expected
    assert after > 3 * TRIALS, "each result alone takes three writes"


def test_a_limit_of_the_system_on_a_files_size_loses_nothing_written(tmp_path: Path) -> None:
    """The same from the kernel itself, which writes what still fits."""
    path = tmp_path / "journal.jsonl"
    code = (
        "import resource, signal, sys; from pathlib import Path; from snn_nas.search import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(99):\n"
        "    journal.append({'number': number, 'text': 'x' * 50}); print(number, flush=True)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, env=env, check=False)
    assert "File too large" in done.stderr
    written = len(done.stdout.split())
    assert 5 < written < 20
    assert path.stat().st_size == 1000, "the last line is torn"
    journal = Journal(path)
    assert [record["number"] for record in journal.read()] == list(range(written))
    journal.append({"number": written})
    assert [record["number"] for record in journal.read()] == list(range(written + 1))


def test_a_full_disk_ends_the_tuner_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuner = Tuner(monkeypatch, tmp_path, **ARGS)
    tuner.command(CommandType.Initialize, {})
    FullDisk(monkeypatch, 2)
    tuner.command(CommandType.RequestTrialJobs, 2)
    assert "No space left on device" in tuner.reason


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    """Tests may run as root, whom permissions do not stop; this path does."""
    folder = "/proc/runs"
    words = ["search", "--config", str(REPOSITORY / "experiments" / "quickstart.yml"), "--out", folder]
    env = {**os.environ, "SNN_NAS_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "snn_nas", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=REPOSITORY, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"snn-nas: {folder}: ")


def test_a_home_that_cannot_be_written_to_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNI keeps its list of experiments there."""
    monkeypatch.setenv("HOME", "/proc")
    experiment = Experiment(write(tmp_path, "homeless", trials=2), folder=tmp_path / "runs")
    with pytest.raises(UserError, match=r"^nnictl create: [^\n]*/proc[^\n]*$"):
        experiment.start()
    assert not server._managers(0)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind((server.LOOPBACK, 0))
        other.listen()
        port = other.getsockname()[1]
        experiment = Experiment(write(tmp_path, "taken", trials=2), folder=tmp_path / "runs", port=port)
        with pytest.raises(UserError, match=f"port {port} of 127.0.0.1: address already in use"):
            experiment.start()
    assert not list((tmp_path / "runs").iterdir()), "nothing was started, and nothing is left"


def test_two_tuners_on_one_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = "import sys; from pathlib import Path; from snn_nas.nni.lifeline import hold\n"
    holder += "held = hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        tuner = Tuner(monkeypatch, tmp_path, **ARGS)
        monkeypatch.setattr("snn_nas.nni.tuner.hold", partial(hold, patience=0.1))
        tuner.command(CommandType.Initialize, {})
        assert "another process is at work on this search" in tuner.reason
        assert not (tmp_path / "search.json").exists()
        other.kill()
    with hold(tmp_path, patience=0.0) as file:  # it died, so the folder is free, though the file is there
        assert fcntl.fcntl(file, fcntl.F_GETFD)


def test_results_keep_their_order_when_the_clock_is_set_back(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    genotypes = {f"job{n}": f"toy(a={n},b=0) {{ x }}" for n in range(4)}
    with sqlite3.connect(tmp_path / "db" / "nni.sqlite") as database:
        database.execute("create table TrialJobEvent (timestamp integer, trialJobId text, data text)")
        database.execute("create table MetricData (timestamp integer, trialJobId text, type text, data text)")
        for now, (job, text) in zip((50, 60, 20, 30), genotypes.items(), strict=True):
            given = json.dumps({"parameters": {"genotype": text}})
            database.execute("insert into TrialJobEvent values (?, ?, ?)", (now, job, given))
            for value in (0.1, 0.2):  # a trial that was started again reports again: the last counts
                row = (now - int(100 * value), job, "FINAL", json.dumps(json.dumps({"default": value})))
                database.execute("insert into MetricData values (?, ?, ?, ?)", row)
    found = finals(tmp_path)
    assert [final.job for final in found] == list(genotypes)
    assert [final.value for final in found] == [{"default": 0.2}] * 4


@cache
def stored() -> tuple[str, str]:
    """State and journal of a search."""
    with tempfile.TemporaryDirectory() as folder:
        search(Path(folder), [])
        return Path(folder, "search.json").read_text(), Path(folder, "journal.jsonl").read_text()


def damaged(value: Any, rng: random.Random) -> Any:
    """The same JSON with one thing in it gone or of another kind."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.8:
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        if rng.random() < 0.2:
            del copy[key]
        else:
            copy[key] = damaged(copy[key], rng)
        return copy
    return rng.choice([None, -1, 2**70, 0.5, "text", "chain(T=2){", [], {}, [[]], {"a": 1}, True])


@given(st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_a_damaged_checkpoint_is_one_line_or_harmless(seed: int) -> None:
    rng = random.Random(seed)
    state, journal = stored()
    if rng.random() < 0.3:
        state = json.dumps(damaged(json.loads(state), rng))
    else:
        lines = journal.splitlines()
        at = rng.randrange(len(lines))
        lines[at] = json.dumps(damaged(json.loads(lines[at]), rng))
        journal = "\n".join(lines) + "\n"
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        folder = Path(name)
        (folder / "search.json").write_text(state)
        (folder / "journal.jsonl").write_text(journal)
        said = ""
        try:
            search(folder, [])
        except UserError as error:
            said = str(error)
        assert "\n" not in said


def test_a_checkpoint_that_was_changed_is_one_line(tmp_path: Path) -> None:
    """Though it could be read: a search that goes on from it would be another one, and nobody would know."""
    state, journal = stored()
    search = json.loads(state)
    search["search"]["strategy"]["rng"][1][0] ^= 1
    (tmp_path / "search.json").write_text(json.dumps(search))
    (tmp_path / "journal.jsonl").write_text(journal)
    with pytest.raises(UserError, match=r"search\.json is no state of a search \(its hash is another\)"):
        Study(tmp_path, ARGS)


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.99])
def test_a_checkpoint_cut_short_is_one_line(tmp_path: Path, cut: float) -> None:
    state, journal = stored()
    (tmp_path / "search.json").write_text(state[: int(cut * len(state))])
    (tmp_path / "journal.jsonl").write_text(journal)
    with pytest.raises(UserError, match=r"search\.json is no state of a search"):
        Study(tmp_path, ARGS)
