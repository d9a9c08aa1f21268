from __future__ import annotations

from typing import ClassVar

import pytest

from neurons.errors import UserError
from snn_nas.search import STRATEGIES, Result, Strategy, create, objectives
from tests.contracts.strategy import StrategyContract
from tests.contracts.toy import ToySpace, score


class TestRandom(StrategyContract):
    name = "random"
    learns = False

    def test_uniform(self) -> None:
        """The first genotype of 3,600 searches falls on each of 9 about 400 times: chi-square, 8 degrees, p > 1e-4."""
        counts: dict[str, int] = {}
        for seed in range(3600):
            text = str(self.make(n=3, seed=seed).ask())
            counts[text] = counts.get(text, 0) + 1
        assert sum((count - 400) ** 2 / 400 for count in counts.values()) < 31.8


class TestEvolution(StrategyContract):
    name = "evolution"
    settings: ClassVar[dict[str, object]] = {"population": 12, "sample": 6}


class TestEvolutionWithCrossover(StrategyContract):
    name = "evolution"
    settings: ClassVar[dict[str, object]] = {"population": 12, "sample": 6, "crossover": 0.5}


class TestLocalSearch(StrategyContract):
    name = "local_search"


class TestNSGA2(StrategyContract):
    name = "nsga2"
    settings: ClassVar[dict[str, object]] = {"population": 8}


class TestPredictor(StrategyContract):
    name = "predictor"
    settings: ClassVar[dict[str, object]] = {"pool": 8}


class OneShotContract(StrategyContract):
    """Its supernet prefers, mildly, what lies near the toy's peak."""

    def make(self, n: int = 8, seed: int = 0, wanted: tuple[str, ...] = ("accuracy",)) -> Strategy:
        strategy = super().make(n, seed, wanted)
        strategy.supply(supernet(n))
        return strategy

    def test_beats_random_search_if_it_learns(self) -> None:
        """As of the others, on a grid of 20 by 20: random search finds the peak in 7 of 40 searches of 60 trials."""
        found = 0
        for seed in range(8):
            strategy = self.make(20, seed)
            results = []
            for _ in range(30):
                results.append(score(strategy.ask()))
                strategy.tell(results[-1])
            found += max(result.metrics["accuracy"] for result in results) == 1
        assert found > 4


def supernet(n: int) -> dict[str, dict[str, list[float]]]:
    return {"logits": {"a": [-abs(i - 4) / 4 for i in range(n)], "b": [-abs(i - 7) / 4 for i in range(n)]}}


class TestDARTS(OneShotContract):
    name = "darts"
    settings: ClassVar[dict[str, object]] = {"pool": 8}


class TestEGNAS(OneShotContract):
    name = "eg_nas"
    settings: ClassVar[dict[str, object]] = {"pool": 8}


def test_every_strategy_has_a_contract_and_a_paper() -> None:
    cases = [*StrategyContract.__subclasses__(), *OneShotContract.__subclasses__()]
    tested = {case.name for case in cases if case is not OneShotContract}
    assert tested == set(STRATEGIES)
    assert all(strategy.paper for strategy in STRATEGIES.values())


def test_evolution_lets_the_oldest_die() -> None:
    strategy = create("evolution", ToySpace(), objectives(["accuracy"]), 0, population=2, sample=2)
    best, *others = (ToySpace().make(3, 5), ToySpace().make(0, 0), ToySpace().make(0, 1))
    strategy.asked = {genotype.digest: genotype for genotype in (best, *others)}
    for genotype in (best, *others):
        strategy.tell(score(genotype))
    assert [member["genotype"] for member in strategy.state_dict()["population"]] == [str(other) for other in others]


def test_evolution_admits_only_what_was_measured() -> None:
    strategy = create("evolution", ToySpace(), objectives(["accuracy", "energy_uJ"]), 0, population=4)
    for status, metrics in (("dead", {"accuracy": 0.9, "energy_uJ": 1.0}), ("ok", {"accuracy": 0.9})):
        genotype = strategy.ask()
        strategy.tell(Result(str(genotype), genotype.digest, status, metrics))  # type: ignore[arg-type]
    assert strategy.state_dict()["population"] == []


def test_unknown_names_get_one_line() -> None:
    with pytest.raises(UserError, match="no strategy 'evolutoin'; did you mean 'evolution'"):
        create("evolutoin", ToySpace(), objectives(["accuracy"]))
    with pytest.raises(UserError, match="no objective 'acuracy'; did you mean 'accuracy'"):
        objectives(["acuracy"])
    with pytest.raises(UserError, match="different objectives"):
        objectives(["accuracy", "accuracy"])
    with pytest.raises(UserError, match="population is at least 2"):
        create("evolution", ToySpace(), objectives(["accuracy"]), 0, population=1)
