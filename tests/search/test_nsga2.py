from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from snn_nas.genotype import Genotype
from snn_nas.search import Result, create, objectives
from snn_nas.search.nsga2 import by_merit
from snn_nas.search.pareto import crowding, dominates, ranks
from tests.contracts.toy import ToySpace, score


def test_crowding_of_a_drawing() -> None:
    """Corners are infinitely lonely; b's neighbours span 3/4 of the first column and all but 1/4 of the second."""
    a, b, c, d = (0, 4), (1, 2), (3, 1), (4, 0)
    assert crowding([a, b, c, d]) == [math.inf, 3 / 4 + 3 / 4, 3 / 4 + 2 / 4, math.inf]
    assert crowding([]) == []
    assert crowding([(1, 2)]) == [math.inf]
    assert crowding([(1, 1)] * 3)[1] == 0.0


rows = st.lists(st.tuples(*[st.integers(0, 5).map(float)] * 2), min_size=1, max_size=12)


@given(rows)
def test_no_survivor_is_dominated_by_one_that_was_dropped(given_rows: list[tuple[float, ...]]) -> None:
    order = by_merit(given_rows)
    assert sorted(order) == list(range(len(given_rows)))
    assert [ranks(given_rows)[i] for i in order] == sorted(ranks(given_rows))
    for place, i in enumerate(order):
        assert not any(dominates(given_rows[j], given_rows[i]) for j in order[place:])


def test_the_lonelier_of_equals_survives() -> None:
    assert by_merit([(0, 4), (1, 3), (1.1, 2.9), (1.2, 2.8), (3, 1), (4, 0)])[-1] == 2


def test_a_generation_keeps_the_front_whatever_the_order_of_its_results() -> None:
    strategy = create("nsga2", ToySpace(20), objectives(["accuracy", "energy_uJ"]), 0, population=6)
    asked = [strategy.ask() for _ in range(6)]
    for genotype in reversed(asked):
        strategy.tell(score(genotype))
    state = strategy.state_dict()
    assert len(state["population"]) == 6
    assert state["children"] == []


def test_it_spreads_over_the_front_better_than_random() -> None:
    space = ToySpace(12)
    wanted = objectives(["accuracy", "energy_uJ"])
    every = [score(space.make(a, b)) for a in range(12) for b in range(12)]
    gains = [[objective.gain(result) for objective in wanted] for result in every]
    front = {result.digest for result, rank in zip(every, ranks(gains), strict=True) if rank == 0}

    def found(name: str, seed: int) -> int:
        strategy = create(name, space, wanted, seed)
        for _ in range(80):
            strategy.tell(score(strategy.ask()))
        return len(front & set(strategy.asked))

    assert sum(found("nsga2", seed) for seed in range(10)) > 1.2 * sum(found("random", seed) for seed in range(10))


def test_what_did_not_end_well_is_no_child() -> None:
    strategy = create("nsga2", ToySpace(), objectives(["accuracy"]), 0, population=2)
    genotype = strategy.ask()
    strategy.tell(Result(str(genotype), genotype.digest, "diverged", {"accuracy": 1.0}))
    assert strategy.state_dict()["children"] == []


def stopped(genotype: Genotype, epochs: int, accuracy: float) -> Result:
    return Result(str(genotype), genotype.digest, "stopped", {"accuracy": accuracy}, epochs=epochs)


def test_where_most_are_stopped_generations_go_on() -> None:
    """As under successive halving, where two of three are: 60 trials are three generations of 20."""
    strategy = create("nsga2", ToySpace(20), objectives(["accuracy", "energy_uJ"]), 0)
    finished = set()
    for number in range(60):
        genotype = strategy.ask()
        if number % 3:
            strategy.tell(stopped(genotype, 1, 0.1))
        else:
            finished.add(genotype.digest)
            strategy.tell(score(genotype))
    population = strategy.state_dict()["population"]
    assert len(strategy.parents) > 30
    assert len(finished) == len(population) == 20
    assert {member["digest"] for member in population} == finished
    assert [member["status"] for member in population] == ["ok"] * 20


def test_the_stopped_come_after_the_finished_by_how_far_they_came() -> None:
    strategy = create("nsga2", ToySpace(), objectives(["accuracy", "energy_uJ"]), 0, population=4)
    asked = [strategy.ask() for _ in range(4)]
    strategy.tell(stopped(asked[0], 1, 0.9))
    strategy.tell(stopped(asked[1], 3, 0.2))
    strategy.tell(stopped(asked[2], 3, 0.4))
    strategy.tell(Result(str(asked[3]), asked[3].digest, "ok", {"accuracy": 0.1, "energy_uJ": 9.0}))
    order = [member["digest"] for member in strategy.state_dict()["population"]]
    assert order == [asked[i].digest for i in (3, 2, 1, 0)]
