from __future__ import annotations

import gzip
import itertools
import random
from pathlib import Path

import pytest

from neurons.errors import UserError
from snn_nas.search import create, objectives
from snn_nas.search.cells201 import OPS, WORDS, Cells201, read, standing
from snn_nas.search.tabular import Table, trace

SPELL = {ours: theirs for theirs, ours in WORDS.items()}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in the published format: the accuracy grows with the number of 3x3 convolutions, test is 1 % lower."""
    path = tmp_path_factory.mktemp("table") / "table.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("arch,cellstr,cifar10-test,cifar10-val\n")
        for number, code in enumerate(itertools.product(range(5), repeat=6)):
            a, b, c, d, e, f = (SPELL[OPS[op]] for op in code)
            value = 10 + 10 * code.count(3)
            file.write(f"{number},|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|,{value - 1},{value}\n")
    return path


@pytest.fixture(scope="module")
def rows(path: Path) -> tuple[Cells201, Table]:
    space = Cells201()
    return space, read(path, space)


def test_every_cell_is_there(rows: tuple[Cells201, Table]) -> None:
    space, table = rows
    assert space.size() == len(table.validation) == 15_625
    best = space.genotype((3,) * 6)
    assert table.evaluate(best).metrics == {"accuracy": 0.7}
    assert table.test[best.digest] == {"accuracy": 0.69}


def test_the_curve_is_the_test_metric_of_the_best_by_validation(rows: tuple[Cells201, Table]) -> None:
    space, table = rows
    curve = trace(create("random", space, objectives(["accuracy"]), 0), table, 30)
    assert curve == sorted(curve)
    assert len(curve) == 30


def test_strategies_see_no_test_metric(rows: tuple[Cells201, Table]) -> None:
    space, table = rows
    assert set(table.evaluate(space.sample(random.Random(0))).metrics) == {"accuracy"}


@pytest.mark.parametrize("unique", [False, True])
def test_variation_stays_inside(unique: bool) -> None:
    space, rng = Cells201(unique=unique), random.Random(0)
    known = {space.genotype(code) for code in space.codes}
    for _ in range(200):
        mother, father = space.sample(rng), space.sample(rng)
        assert {space.mutate(mother, rng), space.crossover(mother, father, rng), *space.neighbours(mother)} <= known
        assert mother not in set(space.neighbours(mother))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((3, 2, 0, 0, 4, 0), (3, 0, 0, 0, 4, 0)),  # an edge to a node that leads nowhere
        ((3, 2, 0, 0, 4, 1), (2, 3, 0, 0, 1, 4)),  # nodes 1 and 2 swapped
        ((0, 0, 0, 0, 3, 3), (0,) * 6),  # nothing arrives
        ((1, 0, 0, 0, 3, 0), (0, 0, 0, 3, 0, 0)),  # a skip is a wire
    ],
)
def test_isomorphic_cells_share_one(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert standing(one) == standing(other)


def test_a_shared_convolution_is_not_two() -> None:
    """conv(x) added to itself, and conv(x) + conv'(x): equal expressions, other networks."""
    assert standing((3, 0, 1, 0, 1, 1)) != standing((3, 3, 0, 0, 1, 1))


def test_the_classes() -> None:
    space = Cells201(unique=True)
    assert space.size() == 5_425
    assert all(standing(standing(code)) == standing(code) for code in space.codes[::7])


def test_a_broken_table_is_one_line(tmp_path: Path) -> None:
    short = tmp_path / "short.csv.gz"
    with gzip.open(short, "wt") as file:
        file.write("arch,cellstr,cifar10-test,cifar10-val\n")
    with pytest.raises(UserError, match="lacks 15625 cells"):
        read(short, Cells201())
    with pytest.raises(UserError, match="lacks one of the columns"):
        read(short, Cells201(), "svhn")
    table = Table("empty", {})
    with pytest.raises(UserError, match="does not hold"):
        table.evaluate(Cells201().sample(random.Random(0)))
