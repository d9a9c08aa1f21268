"""`snn-nas resume` goes on with what NNI recorded, on loopback; that nothing is lost then is tested in test_life.py."""

from __future__ import annotations

import json
import sqlite3
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from neurons.errors import UserError
from snn_nas.cli import cli
from snn_nas.nni import server
from snn_nas.nni.config import override, read_config
from snn_nas.nni.database import ended_without_result, finals
from snn_nas.nni.experiment import Experiment
from tests import REPOSITORY


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a search that was started with other settings than its file has."""
    given = read_config(REPOSITORY / "experiments" / "quickstart.yml")
    folder = tmp_path / "runs" / "abc"
    asked = override(given, trials=7, concurrency=None, seed=5, words=("epochs=2",), folder=folder.parent)
    (folder / "db").mkdir(parents=True)
    with sqlite3.connect(folder / "db" / "nni.sqlite") as database:
        database.execute("create table ExperimentProfile (params text, id text, revision integer)")
        for revision, trials in ((2, 7), (1, 3)):
            record = (json.dumps({**asked, "maxTrialNumber": trials}), "abc", revision)
            database.execute("insert into ExperimentProfile values (?, ?, ?)", record)
    return folder


def test_it_goes_on_as_it_was_started_and_on_loopback(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def resume(experiment: str, **given: Any) -> None:
        seen.update(given, experiment=experiment)
        raise UserError("this is as far as the test goes")

    def follow(experiment: Experiment, asked: Any, *_: Any) -> None:
        seen.update(total=experiment.total, base=experiment.base, seed=asked.seed, training=asked.settings.training)
        experiment.start()

    monkeypatch.setattr(server, "resume", resume)
    monkeypatch.setattr(import_module("snn_nas.cli.search"), "run", follow)  # the name alone is the command
    done = CliRunner().invoke(cli, ["resume", str(run), "--port", "8081"])
    assert str(done.exception) == "this is as far as the test goes"
    assert seen == {
        "experiment": "abc",
        "host": "127.0.0.1",
        "port": 8081,
        "total": 7,
        "base": run.parent,
        "seed": 5,
        "training": {"epochs": 2, "batch_size": 32},
    }


def test_a_folder_of_no_search_is_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["resume", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == f"{tmp_path} is no folder of a search under NNI"


DAMAGES: dict[str, bytes] = {"cut": b"SQLite format 3\0" + b"x" * 500, "foreign": b"cut short" * 100, "empty": b""}


@pytest.mark.parametrize("damage", [*DAMAGES, "json", "no mapping"])
def test_a_damaged_record_is_one_line(run: Path, damage: str) -> None:
    path = run / "db" / "nni.sqlite"
    if damage in DAMAGES:
        path.write_bytes(DAMAGES[damage])
    else:
        with sqlite3.connect(path) as database:
            text = '{"trialCommand": "py' if damage == "json" else "[1]"
            database.execute("update ExperimentProfile set params = ?", (text,))
    done = CliRunner().invoke(cli, ["resume", str(run)])
    assert isinstance(done.exception, UserError)
    expected = "is no folder of a search under NNI" if damage == "no mapping" else f"{path} is damaged"
    assert expected in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize("value", ["{", "[]", '"no parameters"', "{}"])
def test_damaged_trials_are_one_line(tmp_path: Path, value: str) -> None:
    (tmp_path / "db").mkdir()
    with sqlite3.connect(tmp_path / "db" / "nni.sqlite") as file:
        file.execute("create table TrialJobEvent (trialJobId text, event text, data text)")
        file.execute("create table MetricData (trialJobId text, type text, data text)")
        file.execute("insert into TrialJobEvent values ('a', 'WAITING', ?), ('a', 'FAILED', '')", (value,))
        file.commit()
        with pytest.raises(UserError, match=r"nni\.sqlite is damaged"):
            ended_without_result(tmp_path)
        file.execute("insert into MetricData values ('a', 'FINAL', '\"1.0\"')")
        file.commit()
        with pytest.raises(UserError, match=r"nni\.sqlite is damaged"):
            finals(tmp_path)
