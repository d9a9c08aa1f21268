"""A search in process proposes what an uninterrupted one proposes, whenever it is stopped."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from neurons.errors import UserError
from snn_nas.evaluation import EvaluationSettings
from snn_nas.nni.in_process import flat, search
from snn_nas.nni.study import Study, _canonical, _hash
from snn_nas.search import OBJECTIVES, create
from snn_nas.search.result import Result
from snn_nas.supernet import process
from snn_nas.supernet.process import Progress
from tests.contracts import toy

GIVEN: dict[str, Any] = {
    "space": {"factory": "tests.contracts.toy:space"},
    "strategy": {"name": "evolution", "population": 5, "sample": 3},
    "objectives": ["accuracy"],
    "front": ["accuracy", "energy_uJ"],
    "seed": 3,
}
SETTINGS = EvaluationSettings()
QUICK = "tests.contracts.toy:quick"


def results(folder: Path, trials: int, **given: Any) -> tuple[bool, list[Result]]:
    folder.mkdir(exist_ok=True)
    study = Study(folder, GIVEN)
    return search(study, SETTINGS, trials, evaluator=QUICK, **given), study.results


def test_it_asks_and_tells_the_strategy_in_order(tmp_path: Path) -> None:
    finished, found = results(tmp_path, 15)
    strategy = create("evolution", toy.space(), [OBJECTIVES["accuracy"]], 3, population=5, sample=3)
    expected = []
    for _ in range(15):
        genotype = strategy.ask()
        expected.append(str(genotype))
        strategy.tell(toy.score(genotype))
    assert finished
    assert [result.genotype for result in found] == expected
    assert all(result.ok and result.curve for result in found)


def test_stopped_anywhere_it_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = results(tmp_path / "whole", 12)[1]
    for number in (1, 5, 11):
        folder = tmp_path / str(number)

        def stop(_: Result, at: int = number, seen: list[int] = []) -> None:  # noqa: B006
            seen.append(1)
            if len(seen) == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            results(folder, 12, on_result=stop)
        study = Study(folder, GIVEN)
        study.ask()  # and a trial that was proposed when the machine died
        assert results(folder, 12)[1] == whole


def test_no_trial_starts_after_the_deadline_and_an_exhausted_space_ends(tmp_path: Path) -> None:
    assert results(tmp_path / "late", 5, deadline=time.monotonic() - 1) == (False, [])
    (tmp_path / "small").mkdir()
    study = Study(tmp_path / "small", {**GIVEN, "space": {"factory": "tests.contracts.toy:small_space"}})
    assert search(study, SETTINGS, 50, evaluator=QUICK) is True
    assert len(study.results) == 4


def test_a_trial_that_crashes_is_a_failed_result(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    study = Study(tmp_path / "x", GIVEN)
    search(study, SETTINGS, 2, evaluator="tests.contracts.toy:missing")
    assert [result.status for result in study.results] == ["failed", "failed"]


def test_settings_travel_flat() -> None:
    given = {"data": "digits", "epochs": 3, "batch_size": 32, "train": 100}
    assert EvaluationSettings.of(flat(EvaluationSettings.of(given))) == EvaluationSettings.of(given)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 7}, "seed"),
        ({"objectives": ["energy_uJ"]}, "objectives"),
        ({"space": {"factory": "tests.contracts.toy:space", "n": 4}}, "space.n"),
        ({"strategy": {"name": "evolution", "population": 6, "sample": 3}}, "strategy.population"),
        ({"strategy": "random", "inherit": True}, "inherit, strategy.name, strategy.population, strategy.sample"),
    ],
)
def test_a_folder_of_another_search_is_refused(tmp_path: Path, change: dict[str, Any], named: str) -> None:
    results(tmp_path, 2)
    with pytest.raises(UserError) as refused:
        Study(tmp_path, {**GIVEN, **change})
    assert str(refused.value) == f"{tmp_path} holds a search with other settings ({named}): give another --out"
    same = {**GIVEN, "front": ["accuracy", "energy_uJ"], "inherit": False, "objectives": "accuracy", "lag": None}
    assert len(Study(tmp_path, same).results) == 2, "another spelling of the same is no other search"


def test_results_of_other_budgets_do_not_come_together(tmp_path: Path) -> None:
    study = Study(tmp_path, GIVEN)
    small = EvaluationSettings.of({"train": 200, "epochs": 5})
    search(study, small, 2, evaluator=QUICK)
    for other, named in (({"train": 400, "epochs": 6}, "epochs, train"), ({"train": 200, "augment": True}, "augment")):
        again = Study(tmp_path, GIVEN)
        with pytest.raises(UserError, match=rf"other settings \({named}\): give another --out"):
            search(again, EvaluationSettings.of(other), 3, evaluator=QUICK)
        assert len(again.results) == 2
    # 5 epochs and 1.0 are the defaults
    elsewhere = EvaluationSettings.of({"train": 200, "lr": 1, "root": "/elsewhere", "device": "cpu"})
    again = Study(tmp_path, GIVEN)
    assert search(again, elsewhere, 3, evaluator=QUICK)
    assert len(again.results) == 3


def test_a_number_s_spelling_is_no_other_setting_and_true_is_no_number(tmp_path: Path) -> None:
    def crossing(share: float) -> Study:
        return Study(tmp_path, {**GIVEN, "strategy": {"name": "evolution", "crossover": share}})

    crossing(1).start(1)
    crossing(1.0)
    with pytest.raises(UserError, match=r"other settings \(strategy.crossover\)"):
        crossing(0.5)
    assert _canonical([1.0, {"b": 2.0, "a": True}]) == [1, {"a": True, "b": 2}]
    assert json.dumps(_canonical({"b": True, "a": 1.0})) == '{"a": 1, "b": true}'


@pytest.mark.parametrize("change", [{"format": 2}, {"training": 1}])
def test_a_search_whose_networks_trained_otherwise_does_not_go_on(tmp_path: Path, change: dict[str, int]) -> None:
    results(tmp_path, 2)
    path = tmp_path / "search.json"
    state = json.loads(path.read_text())
    if "format" in change:
        state |= change
    else:
        state["settings"] |= change
        state["hash"] = _hash([state["search"], state["settings"]])
    path.write_text(json.dumps(state))
    with pytest.raises(UserError) as refused:
        Study(tmp_path, GIVEN)
    assert str(refused.value).endswith("which trains otherwise: give another --out")


def test_a_supernet_that_would_not_be_done_in_time_is_ended_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**GIVEN, "strategy": {"name": "darts"}, "space": {"name": "chain", "data": "digits"}}
    heard: list[int] = []

    def train(_: Any, on_progress: Any) -> dict[str, Any]:
        for done in (1, 9, 10, 11):
            on_progress(Progress(done, 100, 30.0 * done, 0.5))  # 50 minutes in all
            heard.append(done)
        raise RuntimeError("it goes on")

    monkeypatch.setattr(process, "train", train)
    for name, minutes, steps in (("short", 40, 2), ("late", -1, 0), ("enough", 60, 4), ("any", None, 4)):
        (tmp_path / name).mkdir()
        heard.clear()
        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        fits = steps == 4
        with pytest.raises(
            RuntimeError if fits else UserError, match="goes on" if fits else r"50\.0 minutes.*--minutes"
        ):
            search(Study(tmp_path / name, given), SETTINGS, 3, deadline=deadline)
        assert len(heard) == steps
        assert Study(tmp_path / name, given).unprepared, "the same command begins it anew"
