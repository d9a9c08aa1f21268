from __future__ import annotations

from snn_nas.genotype import Genotype
from snn_nas.search import Result, create, objectives
from tests.contracts.toy import ToySpace, score


def told(genotype: Genotype, accuracy: float, energy: float = 1.0, status: str = "ok") -> Result:
    return Result(str(genotype), genotype.digest, status, {"accuracy": accuracy, "energy_uJ": energy})  # type: ignore[arg-type]


def near(one: Genotype, other: Genotype) -> bool:
    return other in set(ToySpace(20).neighbours(one))


def test_it_climbs_from_the_first_better_neighbour() -> None:
    strategy = create("local_search", ToySpace(20), objectives(["accuracy"]))
    start = strategy.ask()
    strategy.tell(told(start, 0.5))
    worse = strategy.ask()
    strategy.tell(told(worse, 0.4))
    better = strategy.ask()
    strategy.tell(told(better, 0.6))
    assert near(start, worse)
    assert near(start, better)
    for _ in range(10):
        trial = strategy.ask()
        strategy.tell(told(trial, 0.1))
        assert near(better, trial)


def test_on_a_summit_it_starts_anew_and_late_results_do_not_pull_it_back() -> None:
    strategy = create("local_search", ToySpace(4), objectives(["accuracy"]))
    start = strategy.ask()
    strategy.tell(told(start, 0.9))
    around = [strategy.ask() for _ in range(6)]  # all neighbours of 4 by 4
    for genotype in around[:5]:
        strategy.tell(told(genotype, 0.1))
    again = strategy.ask()
    assert again not in {start, *around}
    strategy.tell(told(around[5], 0.8))  # of the first climb, better than what comes now
    strategy.tell(told(again, 0.2))
    assert near(again, strategy.ask())


def test_a_failed_start_is_no_place_to_climb_from() -> None:
    strategy = create("local_search", ToySpace(20), objectives(["accuracy"]))
    strategy.tell(told(strategy.ask(), 0.9, status="dead"))
    assert strategy.state_dict()["centre"] is None
    assert strategy.state_dict()["queue"] == []


def test_with_several_objectives_only_dominance_moves_it() -> None:
    strategy = create("local_search", ToySpace(20), objectives(["accuracy", "energy_uJ"]))
    strategy.tell(told(strategy.ask(), 0.5, 5.0))
    for accuracy, energy, centre in ((0.9, 6.0, [0.5, -5.0]), (0.5, 4.0, [0.5, -4.0])):
        strategy.tell(told(strategy.ask(), accuracy, energy))
        assert strategy.state_dict()["centre"] == centre


def test_it_always_reaches_the_one_peak() -> None:
    for seed in range(5):
        strategy = create("local_search", ToySpace(12), objectives(["accuracy"]), seed)
        found = []
        for _ in range(120):
            found.append(score(strategy.ask()))
            strategy.tell(found[-1])
        assert max(result.metrics["accuracy"] for result in found) == 1
