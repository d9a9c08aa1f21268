"""The strategies: the order of a supernet's preference, what results change in it, CMA-ES, and whole searches."""

from __future__ import annotations

import base64
import itertools
import json
import math
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurons.errors import UserError
from snn_nas.evaluation import EvaluationSettings
from snn_nas.genotype import Genotype, parse
from snn_nas.nni.in_process import search
from snn_nas.nni.study import Study
from snn_nas.nni.tuner import StrategyTuner
from snn_nas.search import Result, create, objectives
from snn_nas.search.one_shot import OneShot
from snn_nas.search.preferences import Preferences, assigns_rule, choices
from snn_nas.spaces import build
from snn_nas.supernet.evolve import Evolution, Score
from snn_nas.supernet.process import Progress, train
from snn_nas.supernet.request import run
from tests.contracts.toy import ToySpace, score
from tests.search.supernet_data import chain


def preferences(space: Any, seed: int = 0) -> Preferences:
    dice = random.Random(seed)
    return Preferences(space, {key: tuple(dice.gauss(0, 1) for _ in values) for key, values in choices(space).items()})


def supplied(name: str, space: Any, logits: Mapping[str, Sequence[float]], **given: Any) -> OneShot:
    strategy = create(name, space, objectives(["accuracy"]), 0, **given)
    assert isinstance(strategy, OneShot)
    strategy.supply({"logits": logits})
    return strategy


# -- preferences -------------------------------------------------------------------------------------------------------


def test_the_best_network_and_the_order_are_those_of_a_walk_over_all_plans() -> None:
    space = chain(depth=[2], kernels=[1, 3], widths=[2, 3], rules=["dfa", "local"])
    found = preferences(space)
    chances: dict[str, float] = {}
    for picked in itertools.product(*found.choices.values()):
        plan = dict(zip(found.choices, picked, strict=True))
        chance = math.fsum(found.logits[key][found.choices[key].index(value)] for key, value in plan.items())
        genotype = str(space.decode(plan))
        chances[genotype] = max(chances.get(genotype, -math.inf), chance)
    assert str(found.best()) == max(chances, key=lambda text: chances[text])
    assert found.of(found.best()) == 0.0
    top = max(chances.values())
    for text, chance in chances.items():
        assert found.of(parse(text)) == pytest.approx(chance - top)


def test_drawing_follows_the_probabilities() -> None:
    space = chain(kernels=[1, 3, 5])
    logits = {key: tuple(math.log(i + 1) for i in range(len(each))) for key, each in choices(space).items()}
    found, dice = Preferences(space, logits), random.Random(1)
    drawn = [space.encode(found.draw(dice))["layer1.k"] for _ in range(1200)]
    assert [drawn.count(k) / 200 for k in (1, 3, 5)] == pytest.approx([1, 2, 3], rel=0.2)


def test_layers_that_a_shorter_chain_lacks_do_not_count() -> None:
    space = chain(depth=[1, 2], kernels=[1, 3])
    logits = {key: (0.0,) * len(each) for key, each in choices(space).items()}
    found = Preferences(space, {**logits, "depth": (0.5, 0.0), "layer2.k": (0.0, 3.0)})
    assert space.encode(found.best())["depth"] == 1
    deep = space.decode({**{key: each[0] for key, each in choices(space).items()}, "depth": 2, "layer2.k": 1})
    assert found.of(deep) == pytest.approx(-3.5)
    assert found.of(deep, lambda key: key == "depth") == pytest.approx(-0.5)


def test_which_keys_assign_rules() -> None:
    keys = choices(build("darts", shape=(1, 8, 8), classes=10))
    rules = {key for key in keys if assigns_rule(key)}
    assert {"stem.rule", "normal.2.1.rule", "readout"} <= rules
    assert not rules & {"normal.2.1.op", "normal.3.inputs", "stem.neuron", "T"}


# -- strategies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["darts", "eg_nas"])
def test_it_asks_for_training_until_it_is_supplied(name: str) -> None:
    strategy = create(name, ToySpace(), objectives(["accuracy"]), 5, epochs=3)
    request = strategy.request()
    assert request is not None
    assert (request["procedure"], request["seed"], request["epochs"]) == (name, 5, 3)
    json.dumps(request)
    with pytest.raises(UserError, match="trains a supernet on real data"):
        strategy.ask()
    strategy.supply({"logits": {"a": [0.0] * 8, "b": [0.0] * 8}})
    assert strategy.request() is None
    resumed = create(name, ToySpace(), objectives(["accuracy"]), 5, epochs=3)
    resumed.load_state_dict(json.loads(json.dumps(strategy.state_dict())))
    assert resumed.request() is None


def test_the_first_proposals_are_in_the_order_of_preference() -> None:
    space = ToySpace(6)
    wanted = preferences(space, 3)
    strategy = supplied("darts", space, wanted.logits, initial=6)
    asked = [strategy.ask() for _ in range(6)]
    values = [wanted.of(genotype) for genotype in asked]
    assert asked[0] == wanted.best()
    assert values == sorted(values, reverse=True)


def test_results_overrule_rules_that_the_supernet_prefers() -> None:
    """The supernet is sure of `usf` in every layer; real trials say `local`. The other way round for kernels."""
    space = chain(depth=[3], kernels=[1, 3], rules=["usf", "local", "dfa", "frozen"])
    logits = {key: [0.0] * len(each) for key, each in choices(space).items()}
    for i in (1, 2, 3):
        logits[f"layer{i}.rule"] = [3.0, 0.0, 0.0, 0.0]
        logits[f"layer{i}.k"] = [0.0, 1.0]
    strategy = supplied("darts", space, logits, initial=5, pool=20)
    shares: list[float] = []
    for _ in range(20):
        genotype = strategy.ask()
        plan = space.encode(genotype)
        local = sum(plan[f"layer{i}.rule"] == "local" for i in (1, 2, 3)) / 3
        wide = sum(plan[f"layer{i}.k"] == 3 for i in (1, 2, 3)) / 3
        strategy.tell(Result(str(genotype), genotype.digest, "ok", {"accuracy": 0.2 + 0.5 * local + 0.1 * wide}))
        shares.append(local)
    assert shares[:5] == [0.0] * 5
    assert max(shares) == 1.0
    assert sum(shares[5:]) / 15 > 0.4  # drawn as the supernet would have it, 0.04


def test_a_supernet_that_is_wrong_is_not_followed_for_long() -> None:
    """Preference against the truth: the slope is 0, and what is left finds the peak all the same."""
    logits = {"a": [-abs(i - 12) / 4 for i in range(16)], "b": [-abs(i - 14) / 4 for i in range(16)]}
    strategy = supplied("eg_nas", ToySpace(16), logits, pool=20)
    found = []
    for _ in range(60):
        genotype = strategy.ask()
        strategy.tell(score(genotype))
        found.append(score(genotype).metrics["accuracy"])
    assert max(found) == 1.0


def peak(genotypes: Sequence[Genotype]) -> list[Score]:
    """A known function: the toy's peak lies at a=3, b=5."""
    results = [score(genotype).metrics["accuracy"] for genotype in genotypes]
    return [Score(-result, result) for result in results]


def test_cma_es_finds_the_peak_of_a_known_function() -> None:
    for seed in (1, 2):
        evolution = Evolution(ToySpace(8), seed)
        for _ in range(30):
            evolution.generation(peak)
        strategy = supplied("eg_nas", ToySpace(8), evolution.logits())
        assert strategy.ask() == ToySpace(8).make(3, 5)


def test_diversity_pulls_the_bad_to_the_mean_and_pushes_the_good_away() -> None:
    evolution = Evolution(ToySpace(2), 1, diversity=0.4)
    evolution.cma._mean = np.array([1.0, 0.0, 0.0, 2.0])  # a, then b
    x = np.array([1.0, 1.0, 0.0, -3.0])  # cosines 1 / sqrt(2) and -1
    similarity = (1 + (2**-0.5 - 1) / 2) / 2
    good, bad, mean = Score(0.5, 0.8), Score(0.9, 0.3), Score(0.7, 0.6)
    assert evolution._fitness(x, good, mean) == pytest.approx(0.5 + 0.4 * similarity)
    assert evolution._fitness(x, bad, mean) == pytest.approx(0.9 - 0.4 * similarity)
    assert evolution._fitness(x, Score(math.nan, 0.1), mean) > 1e8


def test_cma_es_repeats_itself() -> None:
    runs = []
    for _ in range(2):
        evolution = Evolution(ToySpace(4), seed=2, population=6)
        best = [evolution.generation(peak) for _ in range(5)]
        runs.append((best, evolution.logits(), str(evolution.draw())))
    assert runs[0] == runs[1]


# -- real supernets ----------------------------------------------------------------------------------------------------

SETTINGS = EvaluationSettings.of({"data": "digits", "train": 400, "batch_size": 50})
REQUEST: dict[str, dict[str, Any]] = {
    "darts": {"procedure": "darts", "epochs": 6, "warmup": 0.2, "architecture_lr": 0.1, "layers": 100},
    "eg_nas": {
        "procedure": "eg_nas", "epochs": 6, "warmup": 0.5, "generations": 12, "population": 6, "sigma": 1.0,
        "diversity": 0.0, "images": 100,
    },
}  # fmt: skip
CHOICES = {
    "depth": [1], "widths": [1, 12], "kernels": [3], "ops": ["conv"], "downs": ["none"], "skips": [0], "T": [2],
    "rules": ["usf", "frozen"], "readouts": ["usf"],
}  # fmt: skip


@pytest.mark.parametrize("name", ["darts", "eg_nas"])
def test_on_digits_the_obviously_better_width_is_preferred(name: str) -> None:
    space = build("chain", shape=(1, 8, 8), classes=10, choices=CHOICES)
    logits = run({**REQUEST[name], "seed": 0}, space, SETTINGS)
    narrow, wide = logits["layer1.c"]
    assert wide > narrow + 0.5
    assert supplied(name, space, logits).ask().genes[0].op.values["c"] == 12


GIVEN = {
    "space": {"name": "chain", "data": "digits", **CHOICES},
    "strategy": {"name": "eg_nas", "epochs": 2, "generations": 3, "population": 5, "initial": 2},
    "seed": 4,
}


def pretend(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: Any) -> Result:
    return Result(str(genotype), genotype.digest, "ok", {"accuracy": 0.5}, seed=seed)


def test_a_search_trains_its_supernet_once_and_goes_on_without(tmp_path: Path) -> None:
    study, told = Study(tmp_path, GIVEN), list[Progress]()
    assert study.unprepared
    search(study, SETTINGS, 2, evaluator=f"{__name__}:pretend", on_progress=told.append)
    assert told[-1].done == told[-1].total == 2 * 4 + 3
    assert str(told[-1]).startswith("supernet 100%, loss ")
    resumed = Study(tmp_path, GIVEN)
    assert not resumed.unprepared
    search(resumed, SETTINGS, 4, evaluator=f"{__name__}:pretend", on_progress=lambda _: pytest.fail("trained again"))
    assert len({result.genotype for result in resumed.results}) == 4


def test_a_slip_in_the_request_comes_back_as_one_line() -> None:
    with pytest.raises(UserError, match="no data set 'digit'"):
        train({**REQUEST["darts"], "seed": 0, "space": GIVEN["space"], "evaluation": {"data": "digit"}})


def test_the_tuner_serves_while_a_supernet_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is proposed, and nothing waits, until the answer is there; then everything that was asked for."""
    asked, go = [], threading.Event()

    def prepare(evaluation: Mapping[str, Any], on_progress: Callable[[Progress], None]) -> dict[str, Any]:
        asked.append(dict(evaluation))
        on_progress(Progress(1, 4, 2.0, 0.5))
        assert go.wait(20)
        return {"logits": {"a": [0.0] * 8, "b": [0.0] * 8}}

    experiment = json.dumps({"trialCommand": "python -m snn_nas.nni.trial data=digits epochs=3"})
    monkeypatch.setattr(sys, "argv", ["nni", "--exp_params", base64.b64encode(experiment.encode()).decode()])
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(tmp_path))
    tuner, sent = object.__new__(StrategyTuner), list[Any]()
    tuner.lock, tuner.requested, tuner.parameter_id, tuner.resent = threading.RLock(), 0, 0, []
    tuner.exhausted = tuner.preparing = tuner.unprotected = False
    monkeypatch.setattr(tuner, "send", lambda command, data: sent.append(json.loads(data)), raising=False)
    given = {"space": {"factory": "tests.contracts.toy:space"}, "strategy": "eg_nas"}
    tuner.study = Study(tmp_path, given)
    monkeypatch.setattr(tuner.study, "prepare", prepare)
    tuner.handle_request_trial_jobs(2)
    tuner._answer()
    _until((tmp_path / "progress.json").exists)
    assert "25%, loss 0.50, 0:06 left" in (tmp_path / "progress.json").read_text(encoding="utf-8")
    assert not sent
    assert tuner.lock.acquire(blocking=False)  # so a command would be served, `terminate` among them
    tuner.lock.release()
    go.set()
    _until(lambda: len(sent) == 2)
    assert asked == [{"data": "digits", "epochs": 3}]
    assert not (tmp_path / "progress.json").exists()
    assert not Study(tmp_path, given).unprepared


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_strategies_are_free_of_the_heavy() -> None:
    code = "import sys, snn_nas.search, snn_nas.supernet.process; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
