"""Who inherits from whom: the strategy says it, the order of the search bounds it, and a resume changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neurons.errors import UserError
from snn_nas.genotype import parse
from snn_nas.nni.in_process import search
from snn_nas.nni.messages import PARENT, WEIGHTS, parameters, result_of
from snn_nas.nni.study import Study
from snn_nas.nni.trial import run
from snn_nas.search import Result, create, objectives
from snn_nas.search.heritage import heritage
from tests.contracts.toy import ToySpace, score
from tests.nni.rig import TOY, Channel

ARGS: dict[str, Any] = {
    "space": {"factory": f"{TOY}space"},
    "strategy": {"name": "evolution", "population": 6},
    "seed": 4,
    "inherit": {"keep": 5},
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "evolution": {"population": 5}, "local_search": {}, "nsga2": {"population": 5}, "predictor": {"initial": 5},
}  # fmt: skip


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_parent_is_one_step_away_or_two_and_was_told_before(name: str) -> None:
    space = ToySpace()
    strategy = create(name, space, objectives(["accuracy"]), 1, **STRATEGIES[name])
    told: list[str] = []
    for _ in range(30):
        genotype = strategy.ask()
        parent = strategy.parents.get(genotype.digest)
        if parent is not None:
            assert parent in told
            if name != "nsga2":  # whose other parent may be far
                near = list(space.neighbours(strategy.asked[parent]))
                assert genotype in near or any(genotype in space.neighbours(each) for each in near)
        strategy.tell(score(genotype))
        told.append(genotype.digest)
    assert len(strategy.parents) > 10
    state = json.loads(json.dumps(strategy.state_dict()))
    again = create(name, space, objectives(["accuracy"]), 1, **STRATEGIES[name])
    again.load_state_dict(state)
    for each in (strategy, again):
        for _ in range(5):
            each.tell(score(each.ask()))
    assert again.parents == strategy.parents


def test_random_search_has_no_parents() -> None:
    strategy = create("random", ToySpace(), objectives(["accuracy"]), 1)
    for _ in range(5):
        strategy.tell(score(strategy.ask()))
    assert strategy.parents == {}


def run_some(study: Study, trials: int) -> None:
    """Ask for as many as may run at once, and tell the results in the reverse of their order."""
    study.start(2)
    while len(study.results) < trials:
        texts = [str(genotype) for genotype in study.outstanding()]
        while (text := study.ask()) is not None:
            texts.append(text)
        done = []
        for text in texts:
            given = parameters(study.space, text, study.seed, heritage=study.inheritance(text))
            channel = Channel(given)
            run(channel, {}, "", f"{TOY}heirs")
            done.append(result_of(channel.finals[0]))
        for result in reversed(done):
            assert result is not None
            assert study.tell(result)


def lineage(results: list[Result]) -> dict[str, tuple[str, float]]:
    return {result.digest: (result.parent, result.metrics["ancestors"]) for result in results}


def test_the_last_ones_told_can_be_parents_and_no_more_files_are_kept(tmp_path: Path) -> None:
    study = Study(tmp_path, ARGS)
    run_some(study, 40)
    order, lag, keep = study.ordered.order, 2, 5
    found = 0
    for k, digest in enumerate(order[:40]):
        parent = study.ordered.strategy.parents.get(digest)
        window = order[max(0, k + 1 - lag - keep) : max(0, k + 1 - lag)]
        expected = parent if parent in window else ""
        given = study.inheritance(str(study.ordered.strategy.asked[digest]))
        assert given == {PARENT: expected, WEIGHTS: str(tmp_path.absolute() / "weights")}
        assert lineage(study.results)[digest][0] == expected
        found += bool(expected)
    assert 5 < found < len(study.ordered.strategy.parents)
    files = list((tmp_path / "weights").iterdir())
    assert 0 < len(files) <= keep + 2 * lag


def test_stopped_anywhere_the_same_children_inherit_from_the_same_parents(tmp_path: Path) -> None:
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = Study(tmp_path / "whole", ARGS)
    run_some(whole, 30)
    for trials in (7, 8, 20, 30):
        part = Study(tmp_path / "parts", ARGS)
        (tmp_path / "parts" / "weights").mkdir(exist_ok=True)
        (tmp_path / "parts" / "weights" / "0123.safetensors.part").write_text("what a kill left behind")
        part.ask()
        run_some(part, trials)
    assert lineage(part.results) == lineage(whole.results)
    assert not list((tmp_path / "parts" / "weights").glob("*.part"))


def test_a_file_that_is_gone_is_a_fresh_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "toy(a=1,b=2) { x }"
    given = {**parameters(ToySpace(), text, 1), PARENT: "0123456789abcdef", WEIGHTS: str(tmp_path)}
    result = run(Channel(given), {}, "", f"{TOY}heirs")
    assert (result.parent, result.metrics["ancestors"]) == ("", 0)
    assert "Trained from scratch: the parent's weights are gone" in capsys.readouterr().out
    assert (tmp_path / f"{parse(text).digest}.safetensors").exists()
    result = run(Channel({**given, WEIGHTS: str(tmp_path / "elsewhere")}), {}, "", f"{TOY}heirs")
    assert "this machine has no folder" in capsys.readouterr().out
    assert result.ok


def test_without_it_nothing_is_kept(tmp_path: Path) -> None:
    study = Study(tmp_path, {key: value for key, value in ARGS.items() if key != "inherit"})
    run_some(study, 10)
    assert all(result.parent == "" for result in study.results)
    assert not (tmp_path / "weights").exists()
    assert study.inheritance(str(study.ordered.strategy.asked[study.ordered.order[0]])) == {}


def test_in_process_as_well(tmp_path: Path) -> None:
    from snn_nas.evaluation import EvaluationSettings

    study = Study(tmp_path, ARGS)
    search(study, EvaluationSettings(), 20, evaluator=f"{TOY}heirs")
    assert max(result.metrics["ancestors"] for result in study.results) >= 2


@pytest.mark.parametrize("given", ["yes", 3, {"keep": 0}, {"nonsense": 1}])
def test_what_is_no_setting_is_refused(given: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="inherit"):
        heritage(given, tmp_path)
