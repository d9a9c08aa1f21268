"""The bridge's parts without NNI's server."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nni_node
import psutil
import pytest
from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.tuner_command_channel import CommandType

from neurons.errors import UserError
from snn_nas.nni import dispatcher
from snn_nas.nni.channel import HttpChannel, NniChannel, connect
from snn_nas.nni.config import override, read_config
from snn_nas.nni.messages import final_metric, parameters, result_of
from snn_nas.nni.server import MANAGER
from snn_nas.nni.study import Study, build_space, load_function
from snn_nas.nni.trial import main, read_settings, run, trial_settings
from snn_nas.search import Result, trial_seed
from snn_nas.search.result import STATUSES
from tests import REPOSITORY
from tests.contracts.toy import ToySpace, score
from tests.nni.rig import Channel

ARGS = {
    "space": {"factory": "tests.contracts.toy:space"},
    "strategy": {"name": "evolution", "population": 4},
    "seed": 2,
}
G = ToySpace().make(3, 5)


class TestMessages:
    def test_parameters_carry_text_and_seed(self) -> None:
        assert parameters(ToySpace(), str(G), 7) == {
            "a": 3,
            "b": 5,
            "genotype": "toy(a=3,b=5) { x }",
            "trial_seed": trial_seed(7, G.digest),
        }

    @pytest.mark.parametrize("status", STATUSES)
    def test_a_result_comes_back_as_it_went(self, status: Any) -> None:
        result = Result(str(G), G.digest, status, {"accuracy": 0.5, "energy_uJ": 2.0}, "why", 9, 3, (0.1, 1 / 3, 0.5))
        sent = json.loads(json.dumps(final_metric(result)))
        assert sent["default"] == (0.5 if status in ("ok", "stopped") else 0.0)
        assert result_of(sent) == result

    def test_a_bare_number_of_a_foreign_trial(self) -> None:
        result = result_of(0.25, {"genotype": str(G)})
        assert result is not None
        assert (result.digest, dict(result.metrics)) == (G.digest, {"accuracy": 0.25})

    @pytest.mark.parametrize("value", [0.5, "text", None, {"default": 1.0}, {"genotype": "{"}, {"genotype": 5}])
    def test_no_genotype_no_result(self, value: Any) -> None:
        assert result_of(value) is None


def crash(*_: Any) -> Result:
    raise RuntimeError("boom")


def not_a_number(genotype: Any, settings: Any, seed: int, on_epoch: Any) -> Result:
    return Result(str(genotype), genotype.digest, "diverged", {"accuracy": math.nan}, "the loss is NaN", seed)


class TestTrial:
    given = parameters(ToySpace(), str(G), 1)

    def test_reports_epochs_and_result(self) -> None:
        channel = Channel(self.given)
        result = run(channel, {}, "", "tests.contracts.toy:quick")
        assert result == replace(score(G, self.given["trial_seed"]), curve=(0.5, 1.0))  # type: ignore[arg-type]
        assert channel.epochs == [{"default": 0.5, "accuracy": 0.5}, {"default": 1.0, "accuracy": 1.0}]
        assert [result_of(final) for final in channel.finals] == [result]

    @pytest.mark.parametrize(
        ("change", "evaluator", "status", "reason"),
        [
            ({}, "tests.nni.test_parts:crash", "failed", "RuntimeError: boom"),
            ({}, "tests.nni.test_parts:not_a_number", "diverged", "the loss is NaN"),
            ({}, "tests.nni.test_parts:missing", "failed", "tests.nni.test_parts:missing: module"),
            ({"genotype": "toy(a=3"}, "tests.contracts.toy:quick", "failed", "genotype, at character 8"),
            ({"genotype": ""}, "tests.contracts.toy:quick", "failed", "needs --space"),
        ],
    )
    def test_whatever_happens_ends_typed(self, change: Any, evaluator: str, status: str, reason: str) -> None:
        channel = Channel({**self.given, **change})
        result = run(channel, {}, "", evaluator)
        assert result.status == status
        assert reason in result.reason
        assert len(channel.finals) == 1
        assert channel.finals[0]["default"] == 0.0
        assert channel.finals[0]["status"] == status

    def test_parameters_of_a_foreign_tuner(self) -> None:
        channel = Channel({"a": 3, "b": 5})
        assert (
            run(channel, {}, "{factory: 'tests.contracts.toy:space'}", "tests.contracts.toy:quick").digest == G.digest
        )

    def test_settings(self) -> None:
        assert read_settings(["data=digits", "epochs=3", "lr=0.1", "amp=true"]) == {
            "data": "digits",
            "epochs": 3,
            "lr": 0.1,
            "amp": True,
        }
        for words in (["epochs"], ["=3"], ["a=1", "a=2"], ["a=[1"]):
            with pytest.raises(UserError):
                read_settings(words)

    def test_settings_among_options(self) -> None:
        command = "python -m snn_nas.nni.trial --evaluator a.b:c data=digits --threads 1 epochs=3"
        assert trial_settings(command) == {"data": "digits", "epochs": 3}
        for command, message in (
            ("python train.py", "does not run"),
            ("python -m snn_nas.nni.trial --thread", "--threads: expected one argument"),
            ("python -m snn_nas.nni.trial --threads two", "invalid int value: 'two'"),
            ("python -m snn_nas.nni.trial --colour red", "unrecognized arguments: --colour"),
            ("python -m snn_nas.nni.trial 'data=digits", "cannot be read .No closing quotation"),
        ):
            with pytest.raises(UserError, match=message):
                trial_settings(command)

    def test_outside_nni(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        monkeypatch.delenv("NNI_PLATFORM", raising=False)
        monkeypatch.setattr("snn_nas.nni.trial.die_with_parent", lambda: None)
        assert main([]) == 2
        assert "started by NNI" in capsys.readouterr().err

    def test_which_channel(self) -> None:
        url = "http://localhost:8080/prefix/env/local-env/abc"
        local = {"NNI_PLATFORM": "local", "NNI_TRIAL_COMMAND_CHANNEL": url, "NNI_TRIAL_JOB_ID": "abc"}
        bare = connect(local)
        assert isinstance(bare, HttpChannel)
        assert (bare.mended, bare.api) == (False, "http://localhost:8080/prefix/api/v1/nni")
        assert connect({**local, "SNN_NAS_MANAGER": "127.0.0.1"}).mended  # type: ignore[attr-defined]
        assert connect({**local, "NNI_PLATFORM": "remote"}).mended  # type: ignore[attr-defined]
        assert isinstance(connect({"NNI_PLATFORM": "frameworkcontroller"}), NniChannel)


def told(study: Study, count: int) -> list[str]:
    texts = []
    for _ in range(count):
        text = study.ask()
        assert text is not None
        genotype = next(g for g in study.outstanding() if str(g) == text)
        assert study.tell(score(genotype), "job")
        texts.append(text)
    return texts


class TestStudy:
    def test_continues_from_disk_at_every_step(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        whole = Study(tmp_path / "a", ARGS)
        whole.start(2)
        expected = told(whole, 12)
        texts = []
        for _ in range(12):
            study = Study(tmp_path, ARGS)
            study.start(2)
            texts += told(study, 1)
        assert texts == expected
        assert len(Study(tmp_path, ARGS).results) == 12

    def test_killed_between_journal_and_state(self, tmp_path: Path) -> None:
        study = Study(tmp_path, ARGS)
        study.start(1)
        text = study.ask()
        before = study.state_file.read_bytes()
        assert study.tell(score(study.outstanding()[0]))
        study.state_file.write_bytes(before)
        again = Study(tmp_path, ARGS)
        assert again.outstanding() == []
        assert [result.genotype for result in again.results] == [text]
        assert not again.tell(again.results[0])

    def test_give_up_once(self, tmp_path: Path) -> None:
        study = Study(tmp_path, ARGS)
        study.start(1)
        text = study.ask() or ""
        assert study.give_up(text, "job", "killed")
        assert not study.give_up(text, "job", "killed")
        assert (study.results[0].status, study.results[0].reason) == ("failed", "killed")

    def test_front_file(self, tmp_path: Path) -> None:
        study = Study(tmp_path, ARGS)
        study.start(1)
        told(study, 5)
        front = json.loads((tmp_path / "pareto.json").read_text())
        assert front["objectives"] == ["accuracy", "energy_uJ"]
        assert {member["digest"] for member in front["front"]} <= {result.digest for result in study.results}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"sede": 1}, "no setting 'sede'; did you mean 'seed'"),
            ({"space": None}, "needs a space"),
            ({"space": {"name": "chain"}}, "has no data"),
            ({"space": {"factory": "tests.contracts.toy:nowhere"}}, "tests.contracts.toy:nowhere"),
            ({"space": {"name": "chian", "data": "digits"}}, "did you mean 'chain'"),
            ({"space": {"name": "chain", "data": "digist"}}, "did you mean 'digits'"),
            ({"strategy": {"population": 3}}, "has no name"),
            ({"front": ["speed"]}, "no objective 'speed'"),
            ({"early_stop": "meduan"}, "did you mean 'median'"),
        ],
    )
    def test_bad_settings(self, tmp_path: Path, change: dict[str, Any], message: str) -> None:
        with pytest.raises(UserError, match=message):
            Study(tmp_path, {**ARGS, **change})

    def test_lag_below_concurrency(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="less than trialConcurrency"):
            Study(tmp_path, {**ARGS, "lag": 1}).start(2)

    @pytest.mark.parametrize("damage", ["", "{}", '{"format": 99}', '{"format": 3, "search": {"strategy": 3}}'])
    def test_corrupt_state_is_one_clear_line(self, tmp_path: Path, damage: str) -> None:
        (tmp_path / "search.json").write_text(damage)
        with pytest.raises(UserError, match="no state of a search"):
            Study(tmp_path, ARGS)

    def test_real_space(self) -> None:
        space = build_space({"name": "chain", "data": "digits", "depth": [2]})
        assert space.search_space()

    def test_functions_by_name(self) -> None:
        assert load_function("tests.contracts.toy:score") is score
        for path in ("toy", "toy:", "nowhere:score"):
            with pytest.raises(UserError):
                load_function(path)


class TestConfig:
    def test_paths_and_overrides(self, tmp_path: Path) -> None:
        (tmp_path / "a.yml").write_text("trialCommand: x\nsearchSpaceFile: s.json\ntuner: {codeDirectory: ..}\n")
        config = read_config(tmp_path / "a.yml")
        assert config["searchSpaceFile"] == str(tmp_path / "s.json")
        assert config["trialCodeDirectory"] == str(tmp_path)
        assert config["tuner"]["codeDirectory"] == str(tmp_path.parent)
        changed = override(config, trials=3, concurrency=1, seed=5, folder=tmp_path)
        assert changed["tuner"]["classArgs"] == {"seed": 5}
        assert (changed["maxTrialNumber"], changed["trialConcurrency"]) == (3, 1)

    @pytest.mark.parametrize("content", [None, "a: [", "just text", "a: 1"])
    def test_no_configuration(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "a.yml").write_text(content)
        with pytest.raises(UserError, match=r"a\.yml"):
            read_config(tmp_path / "a.yml")


KEEPER = "common/trial_keeper/main.js"
"""NNI's program that keeps trials on a machine that is reached over SSH."""


class TestManager:
    def start(self, root: Path, main: str = "main.js") -> subprocess.CompletedProcess[str]:
        node = Path(nni_node.__path__[0]) / "node"
        command = [str(node), f"--require={MANAGER}", str(root / main)]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """NNI's files that we mend, and a main.js that loads none of them."""
        root = tmp_path / "nni_node"
        for name in ("training_service", "rest_server", "core", "common", "static/static/js"):
            shutil.copytree(Path(nni_node.__path__[0]) / name, root / name)
        for program in ("main.js", KEEPER):
            (root / program).write_text("console.log('up');")
        return root

    @pytest.mark.parametrize(
        "name",
        [
            "training_service/v3/compat.js",
            "rest_server/index.js",
            "rest_server/restHandler.js",
            "training_service/remote_v3/worker.js",
            "core/nnimanager.js",
        ],
    )
    def test_refuses_an_unknown_nni(self, root: Path, name: str) -> None:
        path = root / name
        path.write_text(path.read_text().replace("this.", "self.").replace("-m", "-n"))
        done = self.start(root)
        assert done.returncode == 1
        assert "not the NNI 3.0" in done.stderr
        assert name in done.stderr
        assert "up" not in done.stdout

    def test_refuses_an_unknown_keeper_of_trials(self, root: Path) -> None:
        path = root / "rest_server" / "core.js"
        path.write_text(path.read_text().replace("this.", "self."))
        done = self.start(root, KEEPER)
        assert done.returncode == 1
        assert "rest_server/core.js" in done.stderr
        assert "up" not in done.stdout

    def test_says_if_a_mended_file_is_not_used(self, root: Path) -> None:
        done = self.start(root)
        assert done.returncode == 1
        assert "was not loaded" in done.stderr

    def test_leaves_other_node_programs_alone(self, tmp_path: Path) -> None:
        (tmp_path / "main.js").write_text("console.log('up');")
        assert self.start(tmp_path).stdout == "up\n"


def test_no_end_of_a_trial_overtakes_a_result_in_the_tuners_process(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Dispatcher(MsgDispatcherBase):  # type: ignore[misc]
        def handle_report_metric_data(self, data: Any) -> None:
            time.sleep(0.2)
            seen.append("result")

        def handle_trial_end(self, data: Any) -> None:
            seen.append("end")

    monkeypatch.setattr(MsgDispatcherBase, "enqueue_command", MsgDispatcherBase.enqueue_command)  # undone afterwards
    monkeypatch.setattr("nni.__main__.main", lambda: None)
    dispatcher.main()
    one = Dispatcher("ws://_unittest_")
    for worker in (one.default_worker, one.assessor_worker):
        worker.daemon = True
        worker.start()
    one.enqueue_command(CommandType.ReportMetricData, {"type": "FINAL"})
    one.enqueue_command(CommandType.TrialEnd, {"event": "SUCCEEDED"})
    end = time.monotonic() + 20
    while len(seen) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    one.stopping = True
    assert seen == ["result", "end"]


def test_a_trial_dies_with_its_parent() -> None:
    child = (
        "import time; from snn_nas.nni.lifeline import die_with_parent\n"
        "die_with_parent(); print('up', flush=True); time.sleep(60)"
    )
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print(child.pid, flush=True); child.wait()"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        words = {process.stdout.readline().strip() for _ in range(2)}
        pid = int(next(word for word in words if word != "up"))
        process.send_signal(signal.SIGKILL)
    end = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    "module", ["snn_nas.nni.tuner", "snn_nas.nni.trial", "snn_nas.nni.experiment", "snn_nas.search"]
)
def test_no_torch_where_time_counts(module: str) -> None:
    """NNI gives a tuner 10 s to start, and every trial pays for what it imports."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    code = f"import sys, {module}; print([m for m in ('torch', 'spikingjelly') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "[]\n"
