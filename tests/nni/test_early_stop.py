"""Trials that fall behind end themselves, the same ones whatever the timing; NNI's own assessor is refused by name."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from nni.runtime.tuner_command_channel import CommandType

from neurons.errors import UserError
from snn_nas.cli.configuration import read
from snn_nas.nni.config import refuse_assessor
from snn_nas.nni.database import finals
from snn_nas.nni.experiment import Experiment
from snn_nas.nni.messages import BARS, parameters, read_numbers
from snn_nas.nni.study import Study
from snn_nas.nni.trial import run
from snn_nas.search import Result
from snn_nas.search.median import MedianStop
from tests.contracts.toy import ToySpace, score
from tests.nni.rig import TOY, Channel, Tuner, write

TRIALS = 14
STOP = {"name": "median", "trials": 3}
ARGS: dict[str, Any] = {
    "space": {"factory": f"{TOY}space"},
    "strategy": {"name": "evolution", "population": 6},
    "seed": 4,
    "early_stop": STOP,
}


def in_process(folder: Path, lag: int, trials: int) -> list[Result]:
    """The search as it must come out with `lag` trials at once; results are told in the reverse of their order."""
    study, found = Study(folder, ARGS), list[Result]()
    study.start(lag)
    while len(found) < trials:
        batch = []
        while (text := study.ask()) is not None:
            given = parameters(study.space, text, study.seed, study.bars(text))
            batch.append(run(Channel(given), {}, "", f"{TOY}epochs"))
        for result in reversed(batch):
            assert study.tell(result)
        found += batch
    return found[:trials]


def test_who_falls_behind_is_stopped_and_no_one_else(tmp_path: Path) -> None:
    results = in_process(tmp_path, lag=1, trials=20)
    assert {result.status for result in results} == {"ok", "stopped"}
    for k, result in enumerate(results):
        bars = MedianStop({"trials": 3}).bars([earlier.curve for earlier in results[:k]])
        whole = score_curve(result)
        behind = [e for e in range(1, 5) if bars and whole[e - 1] < bars[e - 1]]  # curves rise: the last is the best
        if behind:
            assert (result.status, result.epochs, result.curve) == ("stopped", behind[0], whole[: behind[0]])
            assert dict(result.metrics) == {"accuracy": result.curve[-1]}
            assert "the bar that the trials before it set" in result.reason
        else:
            assert (result.status, result.curve) == ("ok", whole)
    best = max(results, key=lambda result: result.curve[-1])
    assert best.ok


def score_curve(result: Result) -> tuple[float, ...]:
    a, b = (int(word) for word in result.genotype.removeprefix("toy(a=").partition(")")[0].split(",b="))
    return tuple(score(ToySpace().make(a, b)).metrics["accuracy"] * epoch / 5 for epoch in range(1, 6))


def test_bars_are_those_of_the_proposal_whenever_they_are_asked_for(tmp_path: Path) -> None:
    study = Study(tmp_path, ARGS)
    study.start(2)
    asked: dict[str, list[float]] = {}
    for _ in range(10):
        while (text := study.ask()) is not None:
            asked[text] = study.bars(text)
        for genotype in study.outstanding():
            study.tell(run(Channel(parameters(study.space, str(genotype), 4)), {}, "", f"{TOY}epochs"))
    again = Study(tmp_path, ARGS)
    assert {text: again.bars(text) for text in asked} == asked
    assert any(any(bars) for bars in asked.values())


def test_a_trial_without_bars_is_as_ever() -> None:
    given = parameters(ToySpace(), "toy(a=0,b=0) { x }", 1)
    assert BARS not in given
    assert run(Channel(given), {}, "", f"{TOY}epochs").ok
    given[BARS] = "no numbers"
    assert run(Channel(given), {}, "", f"{TOY}epochs").ok
    stopped = run(channel := Channel({**given, BARS: "0.0 0.5"}), {}, "", f"{TOY}epochs")
    assert (stopped.status, len(channel.epochs), len(channel.finals)) == ("stopped", 2, 1)
    assert channel.finals[0]["default"] == stopped.curve[-1]


@pytest.mark.nni
def test_under_nni_the_same_trials_are_stopped(runs: Path, tmp_path: Path) -> None:
    command = f"python -m snn_nas.nni.trial --evaluator {TOY}epochs"
    config = write(runs, "stopping", trials=TRIALS, command=command, seed=4, early_stop=STOP)
    with Experiment(config, folder=runs / "runs") as experiment:
        last = list(experiment.watch())[-1]
        results = {result.digest: result for result in experiment.results()}
        order = json.loads((experiment.folder / "checkpoint" / "search.json").read_text())["search"]["order"]
        shown = {final.parameters["genotype"]: final for final in finals(experiment.folder)}
    expected = in_process(tmp_path, lag=2, trials=TRIALS)
    assert [results[digest] for digest in order[:TRIALS]] == expected
    stopped = [result for result in expected if result.status == "stopped"]
    assert len(stopped) >= 3
    assert last.failed == 0
    for result in stopped:
        final = shown[result.genotype]
        assert final.value["default"] == result.curve[-1] < read_numbers(final.parameters[BARS])[result.epochs - 1]


def test_an_assessor_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {**yaml.safe_load(write(tmp_path, "assessor", trials=4).read_text()), "assessor": {"name": "Medianstop"}}
    with pytest.raises(UserError, match="early_stop: median"):
        refuse_assessor(config)
    (tmp_path / "assessor.yml").write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match="early_stop: median"):
        read(tmp_path / "assessor.yml")
    words = ["--exp_params", base64.b64encode(json.dumps(config).encode()).decode()]
    tuner = Tuner(monkeypatch, tmp_path, words=words, **config["tuner"]["classArgs"])
    tuner.command(CommandType.Initialize, {})
    assert tuner.reason.startswith("`assessor` has no effect beside our tuner")
    assert not tuner.sent
