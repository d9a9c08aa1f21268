"""The command line: quick, and one clear line with exit code 2 for whatever the user got wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from rich.progress import Progress, TaskID

from snn_nas.cli import cli
from snn_nas.cli.configuration import read
from snn_nas.export.weights import read_header
from tests import REPOSITORY

EXPERIMENTS = sorted((REPOSITORY / "experiments").glob("*.yml"))
CUT_OFF = "chain(T=2){conv(c=8)@frsf/lif; conv(c=8)@stdp/lif; readout@delta~usf}"
CHAIN = "chain(T=2){conv(c=8)@local/lif(threshold=0.5); readout@delta}"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snn_nas", *words],
        capture_output=True,
        text=True,
        check=False,
    )


def refused(*words: str) -> str:
    """The one line that was printed."""
    done = run(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'nni', 'spikingjelly', 'matplotlib', 'numpy'}"
    code = f"import sys, snn_nas.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_command_has_help() -> None:
    whole = run("--help").stdout
    for command in (
        "search",
        "train",
        "evaluate",
        "study",
        "robustness",
        "energy",
        "export",
        "report",
        "view",
        "rules",
    ):
        assert command in whole
        done = run(command, "--help")
        assert done.returncode == 0
        assert "Usage:" in done.stdout


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "chain(T=2){conv(c=8)@stpd/lif; readout@delta}", "--out", "x"], ["stpd", "did you mean 'stdp'"]),
        (["train", "chain(T=2){conv(c=8)@stdp/lif; readout@delta", "--out", "x"], ["character 45", "expected '}'"]),
        (["train", CUT_OFF, "--out", "x"], ["layer1", "frsf", "gets no error", "layer2 (stdp)"]),
        (["train", "chain(T=2){conv(c=8,k=4)@stdp/lif; readout@delta}", "--out", "x"], ["layer1", "odd"]),
        (["train", "chain(T=2){conv(c=8)@stdp/lif(tau=0.1); readout@delta}", "--out", "x"], ["layer1", "tau is"]),
        (["train", "chain(T=2,size=3){conv(c=8)@stdp/lif; readout@delta}", "--out", "x"], ["no setting 'size'"]),
        (["train", "no/such/file", "--out", "x"], ["No such file", "genotype"]),
        (["train", " ", "--out", "x"], ["the genotype is empty", "give its text"]),
        (["train", CHAIN, "--out", ""], ["'--out'", "it is empty: name a file or folder"]),
        (["evaluate", ""], ["'MODEL'", "it is empty"]),
        (["train", CHAIN, "--out", "x", "--data", "mnistt"], ["mnistt", "nmnist"]),
        (["train", CHAIN, "--out", "x", "--epochs", "0"], ["epochs is at least 1"]),
        (["train", CHAIN, "--out", "x", "--profile", "loihi3"], ["loihi3", "did you mean"]),
        (["train", CHAIN, "--out", "x", "--backend", "fussed"], ["did you mean 'fused'"]),
        (["train", CHAIN, "--out", "x", "--device", "cuda"], ["no CUDA device", "--device cpu"]),
        (["search", "--config", "no.yml"], ["no.yml", "No such file"]),
        (["spaces", "chian"], ["did you mean 'chain'"]),
        (["report", "no/such/run"], ["no run of a search"]),
        (["energy", "no.safetensors"], ["no.safetensors"]),
        (["evaluate", "no.safetensors"], ["no.safetensors"]),
        (["export", "no.safetensors", "--nir", "x.nir"], ["no.safetensors"]),
        (["view", "no/such/run"], ["no folder of a search"]),
        (["search", "--confg", "x.yml"], ["No such option '--confg'", "see snn-nas search --help"]),
        (["train"], ["Missing argument 'GENOTYPE'", "see snn-nas train --help"]),
        (["train", CHAIN, "--out", "x", "--epochs", "two"], ["'two' is not a valid integer"]),
        (["train", CHAIN, "--out", "x", "--set", "start=x.safetensors"], ["--set start=", "a search's trials take it"]),
        (["train", CHAIN, "--out", "x", "--set", "keep=x.safetensors"], ["--set keep=", "a search's trials take it"]),
        (["train", CHAIN, "--out", "x", "--set", "robustness=pgd"], ["--set robustness=", "snn-nas robustness"]),
        (["serach"], ["No such command 'serach'", "see snn-nas --help"]),
    ],
)  # fmt: skip
def test_what_a_user_got_wrong_is_one_line_and_exit_code_2(
    words: list[str], parts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refused(*words)
    for part in parts:
        assert part in line
    assert not list(tmp_path.iterdir()), "nothing is written for a request that is refused"


def test_missing_data_says_where_it_looked(tmp_path: Path) -> None:
    line = refused("train", CHAIN, "--data", "cifar10", "--root", str(tmp_path), "--out", str(tmp_path / "x"))
    assert str(tmp_path) in line
    assert "download" in line


def _broken(tmp_path: Path, change: str, value: object) -> Path:
    raw = yaml.safe_load((REPOSITORY / "experiments" / "quickstart.yml").read_text())
    owner = raw
    *parents, key = change.split("/")
    for parent in parents:
        owner = owner[parent]
    owner[key] = value
    if change != "searchSpaceFile":
        raw["searchSpaceFile"] = str(REPOSITORY / "experiments" / raw["searchSpaceFile"])
    path = tmp_path / "broken.yml"
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("tuner/classArgs/space/widhts", [8], "did you mean 'widths'"),
        ("tuner/classArgs/space/rules", ["stdp", "delta"], "readout"),
        ("tuner/classArgs/space/rules", ["stpd"], "did you mean 'stdp'"),
        ("tuner/classArgs/space/kernels", [4], "odd"),
        ("tuner/classArgs/space/data", "fashion_mnist", "name one"),
        ("tuner/classArgs/strategy", {"name": "evolutoin"}, "did you mean 'evolution'"),
        ("tuner/classArgs/objectives", ["accurracy"], "accurracy"),
        ("trialCommand", "python -m snn_nas.nni.trial data=digits epoch=3", "did you mean 'epochs'"),
        ("trialCommand", "python train.py", "trialCommand does not run"),
        ("trialCommand", 'python -m snn_nas.nni.trial "', "No closing quotation"),
        ("tuner/classArgs/straetgy", "random", "did you mean 'strategy'"),
        ("tuner/classArgs/front", ["zz"], "zz"),
        ("tuner/classArgs/seed", "x", "seed is a whole number"),
        ("tuner/classArgs/space/encodings", ["events"], "still images"),
        ("maxTrialNumber", -3, "maxTrialNumber is a whole number"),
        ("trialConcurrency", 0, "trialConcurrency is a whole number"),
        ("searchSpaceFile", "no.json", "no.json"),
    ],
)
def test_a_broken_configuration_is_refused_before_anything_starts(
    tmp_path: Path, change: str, value: object, message: str
) -> None:
    assert message in refused(
        "search", "--config", str(_broken(tmp_path, change, value)), "--out", str(tmp_path / "runs")
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid_and_its_search_space_file_is_its_space(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nni.experiment import ExperimentConfig

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").touch()  # NNI looks whether a remote machine's key is there
    asked = read(path)
    assert json.loads((path.parent / asked.raw["searchSpaceFile"]).read_text()) == asked.space.search_space()
    assert "bp" not in str(asked.raw["tuner"]["classArgs"]["space"]["rules"]), "the twin is never a candidate"
    ExperimentConfig.load(str(path)).validate()


def test_progress_stands_where_the_training_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resumed after its tenth epoch, a run of 20 is heard of at 10 first; the twin's epochs come on top."""
    seen = []

    def conclude(*_: object, on_epoch: Callable[[str, int, float], None], **__: object) -> dict[str, Any]:
        for name, number in (("winner", 10), ("winner", 11), ("winner", 20), ("twin", 5), ("twin", 20)):
            on_epoch(name, number, 0.5)
        return {"metrics": None, "twin": None, "files": {"nir_reason": ""}}

    def update(self: Progress, task: TaskID, **given: Any) -> None:
        original(self, task, **given)
        seen.append((self.tasks[0].completed, self.tasks[0].total))

    original = Progress.update
    monkeypatch.setattr(Progress, "update", update)
    monkeypatch.setattr("snn_nas.conclusion.conclude", conclude)
    done = CliRunner().invoke(cli, ["train", CHAIN, "--out", str(tmp_path / "x"), "--epochs", "20", "--twin"])
    assert done.exit_code == 0, done.output
    assert seen == [(10, 40), (11, 40), (20, 40), (25, 40), (40, 40)]


def test_train_evaluate_energy_and_export_of_one_model(tmp_path: Path) -> None:
    out = tmp_path / "model"
    done = run("train", CHAIN, "--out", str(out), "--epochs", "2", "--train", "300", "--test")
    assert done.returncode == 0, done.stderr
    model = str(out / "weights.safetensors")
    assert read_header(model)["genotype"].startswith("chain")
    record = json.loads(run("evaluate", model, "--split", "test", "--format", "json").stdout)
    assert record["accuracy"] == pytest.approx(
        json.loads((out / "winner.json").read_text())["metrics"]["test_accuracy"]
    )
    rows = run("energy", model, "--format", "csv", "--profile", "45nm_int8", "--profile", "lemaire").stdout.splitlines()
    assert rows[0].startswith("profile,layer")
    assert {row.split(",")[0] for row in rows[1:]} == {"45nm_int8", "lemaire"}
    assert "lemaire" in run("energy", model, "--profile", "lemaire").stdout
    assert run("export", model, "--nir", str(tmp_path / "x.nir")).returncode == 0
    assert (tmp_path / "x.nir").stat().st_size > 0


def test_help_takes_less_than_a_second() -> None:
    run("--help")
    best = min(_timed() for _ in range(3))
    assert best < 1.0


def _timed() -> float:
    started = time.perf_counter()
    run("--help")
    return time.perf_counter() - started
