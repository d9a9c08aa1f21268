"""`snn-nas search`: what it refuses, what it writes down, and searches with tuners of NNI's own."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from neurons.errors import UserError
from snn_nas.cli import cli
from snn_nas.cli.configuration import read
from snn_nas.cli.search import shortfall
from snn_nas.nni import in_process
from snn_nas.nni.study import build_space
from snn_nas.report.run import load
from snn_nas.search import result as results
from tests import REPOSITORY
from tests.nni.rig import left_over

QUICKSTART = REPOSITORY / "experiments" / "quickstart.yml"
SMALL = ("--set", "train=100", "--set", "epochs=1")


def search(*words: str, config: Path = QUICKSTART) -> Result:
    return CliRunner().invoke(cli, ["search", "--config", str(config), *words])


def line(done: Result) -> str:
    assert isinstance(done.exception, UserError), done.exception
    assert "\n" not in str(done.exception)
    return str(done.exception)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trials of a tenth of a second, what a record's seconds are rounded to, and no winner; the genotypes tried."""
    tried: list[str] = []

    def evaluate(genotype: Any, settings: Any, seed: int, on_epoch: Any) -> Any:
        tried.append(str(genotype))
        time.sleep(0.1)
        if len(tried) == 4:
            raise KeyboardInterrupt
        metrics = {"accuracy": 0.5, "energy_uJ": 1.0}
        return results.Result(str(genotype), genotype.digest, "ok", metrics, seed=seed)

    monkeypatch.setattr(in_process, "evaluate_loaded", evaluate)
    monkeypatch.setattr(import_module("snn_nas.cli.search"), "finish", lambda *_: {})
    return tried


def test_a_search_in_process_goes_on_as_itself_alone(tmp_path: Path, quick: list[str]) -> None:
    words = ("--in-process", "--out", str(tmp_path))
    assert search(*words, *SMALL, "--trials", "2").exit_code == 0
    folder = tmp_path / "quickstart-0"
    before = {path: path.read_bytes() for path in folder.rglob("*.json*")}
    done = search(*words, "--set", "train=400", "--set", "epochs=1", "--trials", "3")
    assert line(done) == f"{folder / 'checkpoint'} holds a search with other settings (train): give another --out"
    assert "(space.exportable)" in line(search(*words, *SMALL, "--trials", "3", "--exportable", "nir"))
    assert {path: path.read_bytes() for path in folder.rglob("*.json*")} == before
    assert search(*words, *SMALL, "--trials", "3", "--minutes", "5").exit_code == 0
    assert len(quick) == len(set(quick)) == len(load(folder).results) == 3


def test_seconds_are_those_of_all_parts(tmp_path: Path, quick: list[str]) -> None:
    words = ("--in-process", "--out", str(tmp_path), *SMALL, "--trials")
    assert search(*words, "2").exit_code == 0
    path = tmp_path / "quickstart-0" / "search.json"
    record = json.loads(path.read_text())
    assert 0 < record["seconds"] < 60
    path.write_text(json.dumps({**record, "seconds": 1000.0}))
    search(*words, "9")  # killed in its second trial
    assert len(quick) == 4
    assert 1000 < (killed := json.loads(path.read_text())["seconds"]) < 1060
    assert search(*words, "5").exit_code == 0
    record = json.loads(path.read_text())
    assert killed < record["seconds"] < 1060
    assert record["trials"] == 5


@pytest.mark.parametrize("given", [["--concurrency", "1"], ["--host", "127.0.0.1"], ["--port", "8080"], ["--keep"]])
def test_what_is_nnis_is_refused_in_process(tmp_path: Path, given: list[str]) -> None:
    assert f"{given[0]} is for a search under NNI" in line(search("--in-process", "--out", str(tmp_path), *given))
    assert not list(tmp_path.iterdir())


SPACE = "{name: chain, data: digits, depth: [1], widths: [16], rules: [local], T: [4], neurons: [lif(threshold=0.5)]}"


def foreign(folder: Path, space: str = SPACE, shown: Any = None, **tuner: Any) -> Path:
    """A configuration with a tuner that is not ours."""
    shown = build_space(yaml.safe_load(SPACE)).search_space() if shown is None else shown
    command = "python -m snn_nas.nni.trial" + (f" --space '{space}'" if space else "")
    config = {
        "trialCommand": f"{command} data=digits train=800 validation=100 epochs=4 energy_images=20",
        "trialConcurrency": 1,
        "maxTrialNumber": 2,
        "experimentWorkingDirectory": str(folder / "runs"),
        "searchSpace": shown,
        "tuner": tuner,
        "trainingService": {"platform": "local"},
    }
    path = folder / "foreign.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_search_that_its_time_limit_cut_short_says_so() -> None:
    config = {"maxTrialNumber": 40, "maxExperimentDuration": "10m"}
    assert "12 of 40 trials" in shortfall(12, config)
    assert "maxExperimentDuration, 10m" in shortfall(12, config)
    assert shortfall(39, {"maxTrialNumber": 40}) == "39 of 40 trials came to a result"
    assert shortfall(40, config) == ""


MAXIMIZE = {"optimize_mode": "maximize"}


@pytest.mark.parametrize(
    ("tuner", "seed"),
    [
        ({"name": "TPE", "classArgs": {**MAXIMIZE, "seed": 3}}, 3),
        ({"name": "TPE", "classArgs": {**MAXIMIZE, "seed": None}}, 0),
        ({"name": "Random"}, 0),
        ({"className": "mine.Tuner", "codeDirectory": "."}, 0),
    ],
)
def test_a_tuner_that_is_not_ours_has_its_space_in_the_trials_command(
    tmp_path: Path, tuner: dict[str, Any], seed: int
) -> None:
    asked = read(foreign(tmp_path, **tuner))
    assert asked.strategy == tuner.get("name", "mine.Tuner")
    assert (asked.seed, asked.space.name, asked.settings.train) == (seed, "chain", 800)
    assert asked.objectives == ("accuracy",)


@pytest.mark.parametrize(
    ("space", "tuner", "message"),
    [
        ("", {"name": "TPE", "classArgs": MAXIMIZE}, "needs --space '{name: chain, data: digits}'"),
        ("", {"className": "mine.Tuner"}, "its tuner has no classArgs"),
        ("{name: chian, data: digits}", {"name": "TPE"}, "did you mean 'chain'"),
        ("{name: chain, data: fashion_mnist}", {"name": "TPE"}, "name one"),
        (SPACE, {"name": "TPE", "classArgs": {"seed": "x"}}, "seed is a whole number"),
    ],
)
def test_what_is_wrong_beside_such_a_tuner_is_one_line(
    tmp_path: Path, space: str, tuner: dict[str, Any], message: str
) -> None:
    config = foreign(tmp_path, space, **tuner)
    assert message in line(search("--out", str(tmp_path / "runs"), config=config))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1.kk": {"_type": "choice", "_value": [3]}}, "unknown parameter 'layer1.kk'; did you mean 'layer1.k'"),
        ({"depth": None}, "parameter 'depth' is missing"),
        ({"layer1.k": {"_type": "choice", "_value": [4]}}, "layer1.k"),
        ({"layer1.k": 3}, "none that NNI's documentation knows"),
    ],
)
def test_what_no_trial_could_read_is_found_before_the_search(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    shown = {**build_space(yaml.safe_load(SPACE)).search_space(), **change}
    shown = {name: choices for name, choices in shown.items() if choices}
    said = line(search("--out", str(tmp_path / "runs"), config=foreign(tmp_path, shown=shown, name="TPE")))
    assert message in said
    assert "searchSpace" in said
    assert read(tmp_path / "foreign.yml").space.search_space(), "from which the right one is made"


def test_such_a_tuner_runs_under_nni_alone(tmp_path: Path) -> None:
    config = foreign(tmp_path, name="TPE")
    assert "without --in-process" in line(search("--in-process", "--out", str(tmp_path / "runs"), config=config))


@pytest.mark.nni
def test_tpe_searches_from_start_to_report(runs: Path) -> None:
    config = foreign(runs, name="TPE", classArgs=MAXIMIZE)
    done = search("--out", str(runs / "runs"), "--final-epochs", "1", config=config)
    assert done.exit_code == 0, done.output
    (folder,) = {path.resolve().parent for path in (runs / "runs").glob("*/trials.jsonl")}
    run = load(folder)
    assert (run.search.strategy, len(run.results)) == ("TPE", 2)
    assert (folder / "winner" / "winner.json").exists()
    assert "TPE" in (folder / "report.html").read_text()
    assert not left_over(runs)
