"""What every strategy promises. Subclass `StrategyContract`, set `name`, and inherit the tests."""

from __future__ import annotations

import json
import random
from typing import ClassVar

import pytest

from neurons.errors import UserError
from snn_nas.search import Result, SpaceExhausted, Strategy, create, objectives
from tests.contracts.toy import ToySpace, score


class StrategyContract:
    name: str
    learns = True
    settings: ClassVar[dict[str, object]] = {}

    def make(self, n: int = 8, seed: int = 0, wanted: tuple[str, ...] = ("accuracy",)) -> Strategy:
        return create(self.name, ToySpace(n), objectives(wanted), seed, **self.settings)

    def run(self, strategy: Strategy, trials: int) -> list[str]:
        texts = []
        for _ in range(trials):
            genotype = strategy.ask()
            strategy.tell(score(genotype))
            texts.append(str(genotype))
        return texts

    def test_same_seed_same_search(self) -> None:
        assert self.run(self.make(seed=1), 30) == self.run(self.make(seed=1), 30)
        assert self.run(self.make(seed=1), 30) != self.run(self.make(seed=2), 30)

    def test_global_randomness_is_neither_used_nor_changed(self) -> None:
        random.seed(1)
        before = random.getstate()
        first = self.run(self.make(), 20)
        assert random.getstate() == before
        random.seed(2)
        assert self.run(self.make(), 20) == first

    @pytest.mark.parametrize("at", [0, 1, 7, 23])
    def test_state_continues_bit_for_bit(self, at: int) -> None:
        whole = self.make(seed=3)
        texts = self.run(whole, 40)
        first = self.make(seed=3)
        self.run(first, at)
        state = json.loads(json.dumps(first.state_dict(), allow_nan=False))
        second = self.make(seed=99)
        second.load_state_dict(state)
        assert self.run(second, 40 - at) == texts[at:]

    def test_uses_up_a_small_space_without_repeats(self) -> None:
        texts = self.run(strategy := self.make(n=3), 9)
        assert len(set(texts)) == 9
        for _ in range(2):
            with pytest.raises(SpaceExhausted):
                strategy.ask()

    def test_asks_ahead_of_results(self) -> None:
        strategy = self.make()
        asked = [strategy.ask() for _ in range(10)]
        assert len({genotype.digest for genotype in asked}) == 10
        for genotype in reversed(asked):
            strategy.tell(score(genotype))
        strategy.ask()

    def test_failed_trials_do_not_stop_it(self) -> None:
        strategy = self.make()
        for number in range(30):
            genotype = strategy.ask()
            status = ("dead", "diverged", "failed")[number % 3]
            strategy.tell(Result(str(genotype), genotype.digest, status, {"accuracy": 1.0}, "on purpose"))

    def test_a_result_that_nobody_asked_for_is_an_error(self) -> None:
        with pytest.raises(KeyError, match="never asked"):
            self.make().tell(score(ToySpace().make(0, 0)))

    def test_another_strategys_state_is_refused(self) -> None:
        state = {**self.make().state_dict(), "strategy": "other"}
        with pytest.raises(UserError, match="'other'"):
            self.make().load_state_dict(state)

    def test_unknown_setting_is_refused(self) -> None:
        with pytest.raises(UserError, match="no setting 'nonsense'"):
            create(self.name, ToySpace(), objectives(["accuracy"]), 0, nonsense=1)

    def test_several_objectives(self) -> None:
        assert len(set(self.run(self.make(wanted=("accuracy", "energy_uJ")), 40))) == 40

    def test_beats_random_search_if_it_learns(self) -> None:
        """Over 40 seeds on a 20 by 20 grid with one peak: in how many of them 60 trials find it (random: 7)."""
        if not self.learns:
            return

        def found(name: str, settings: dict[str, object], seed: int) -> bool:
            strategy = create(name, ToySpace(20), objectives(["accuracy"]), seed, **settings)
            results = []
            for _ in range(60):
                results.append(score(strategy.ask()))
                strategy.tell(results[-1])
            return max(result.metrics["accuracy"] for result in results) == 1

        ours = sum(found(self.name, self.settings, seed) for seed in range(40))
        theirs = sum(found("random", {}, seed) for seed in range(40))
        assert ours > 1.5 * theirs
