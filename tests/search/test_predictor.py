from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from snn_nas.genotype import Genotype, parse
from snn_nas.search import Result, create, objectives
from snn_nas.search.cells201 import Cells201
from snn_nas.search.features import features
from snn_nas.search.gaussian import GaussianProcess
from snn_nas.search.predictor import Predictor, normal_scores
from snn_nas.spaces.chain import Chain
from tests.contracts.toy import ToySpace, score


def cell(text: str) -> Genotype:
    return parse(f"x {{ {text} }}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a[0>1]; b[1>2]", "a[0>2]; b[2>3]"),  # nodes numbered otherwise
        ("a[0>1]; b[1>3]; c[0>2]; d[2>3]", "c[0>1]; d[1>3]; a[0>2]; b[2>3]"),  # two branches swapped
        ("a[0>1]; b[1>3]; c[0>2]; d[2>3]", "a[0>1]; none[1>2]; b[1>3]; c[0>2]; none[0>3]; d[2>3]"),
        ("a[0>1]; b[1>3]; none[0>2]; c[2>3]", "a[0>1]; b[1>3]"),  # c gets nothing
        ("skip[0>1]; a[1>3]", "a[0>3]"),
        ("skip[0>1]; a[1>2]; skip[2>3]; b[0>3]", "a[0>2]; skip[2>3]; b[0>3]"),
    ],
)
def test_isomorphic_cells_have_equal_features(one: str, other: str) -> None:
    assert features(cell(one)) == features(cell(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a[0>1]; b[1>2]", "b[0>1]; a[1>2]"),
        ("a[0>1]", "a@stdp[0>1]"),
        ("a(c=1)[0>1]", "a(c=2)[0>1]"),
        ("a[0>1]; a[0>1]", "a[0>1]"),
        ("a[0>1]; b[1>2]; c[0>2]", "a[0>1]; c[1>2]; b[0>2]"),
        ("a; b", "b; a"),
    ],
)
def test_other_networks_have_other_features(one: str, other: str) -> None:
    assert features(cell(one)) != features(cell(other))


def test_features_are_the_same_in_every_process() -> None:
    text = "chain(T=4) { conv(c=8,k=3)@frsf/lif; readout(grid=4)@delta~usf }"
    code = (
        "from snn_nas.genotype import parse; from snn_nas.search.features import features; "
        f"print(sorted(features(parse({text!r})).items()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(sorted(features(parse(text)).items()))


def test_the_process_interpolates_and_is_unsure_far_away() -> None:
    rng = random.Random(0)
    rows = [Counter({key: rng.randrange(4) for key in range(6)}) for _ in range(60)]
    y = np.array([row[0] - row[1] for row in rows], dtype=float)
    model = GaussianProcess()
    model.fit(rows[:50], list((y - y.mean())[:50]))
    mean, deviation = model.predict(rows)
    assert np.corrcoef(mean[50:], y[50:])[0, 1] > 0.9
    far = model.predict([Counter({0: 40, 99: 40})])
    assert far[1][0] > deviation.max()
    assert abs(far[0][0]) < 1e-6


def test_rows_may_come_one_by_one() -> None:
    rng = random.Random(1)
    rows = [Counter({rng.randrange(9): 1, rng.randrange(9): 2}) for _ in range(12)]
    y = [float(i) for i in range(12)]
    grown, whole = GaussianProcess(), GaussianProcess()
    for n in range(2, 13):
        grown.fit(rows[:n], y[:n], (4.0, 0.1))
    whole.fit(rows, y, (4.0, 0.1))
    assert np.array_equal(grown.predict(rows)[0], whole.predict(rows)[0])


def test_normal_scores() -> None:
    assert normal_scores([5.0, 1.0, 9.0]) == pytest.approx([0.0, -0.967, 0.967], abs=1e-3)
    assert normal_scores([2.0, 2.0]) == [0.0, 0.0]
    scores = normal_scores([None, (1, 0.9), (3, 0.2), (3, 0.4), -1e9])  # dead, three that were stopped, finished
    assert scores == sorted(set(scores))
    assert normal_scores([(1, 0.5), (1, 0.5)]) == [0.0, 0.0]


def test_it_avoids_what_is_like_failures() -> None:
    """Everything with a below 10 fails: after 30 trials nearly nothing of the kind is asked for."""
    strategy = create("predictor", ToySpace(20), objectives(["accuracy"]), 0)
    failed = []
    for _ in range(60):
        genotype = strategy.ask()
        result = score(genotype)
        bad = int(genotype.settings["a"]) < 10
        strategy.tell(Result(result.genotype, result.digest, "dead" if bad else "ok", result.metrics))
        failed.append(bad)
    assert sum(failed[30:]) < 8


def test_it_learns_from_how_far_the_stopped_came() -> None:
    """Everything is stopped: what a is decides after which epoch, and it goes where that is late."""
    strategy = create("predictor", ToySpace(20), objectives(["accuracy", "energy_uJ"]), 0, pool=20)
    late = []
    for _ in range(50):
        genotype = strategy.ask()
        a = int(genotype.settings["a"])
        strategy.tell(Result(str(genotype), genotype.digest, "stopped", {"accuracy": 0.5}, epochs=1 + a))
        late.append(a >= 15)
    assert sum(late[20:]) > 20  # of 30; by chance a quarter of them


class Spy(GaussianProcess):
    """Writes down which kernel it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[object] = []

    def fit(self, rows: Any, y: Any, chosen: tuple[float, float] | None = None) -> None:
        self.given.append(chosen)
        super().fit(rows, y, chosen)


@pytest.mark.parametrize("name", ["predictor", "darts"])
def test_a_kernel_is_kept_for_one_objective_alone(name: str) -> None:
    """Of several, the target is another at every proposal."""
    given = {}
    for wanted in (("accuracy",), ("accuracy", "energy_uJ")):
        strategy = create(name, ToySpace(), objectives(wanted), 0, pool=8)
        assert isinstance(strategy, Predictor)
        strategy.model = spy = Spy()
        if strategy.request() is not None:
            strategy.supply({"logits": {"a": [0.0] * 8, "b": [0.0] * 8}})
        for _ in range(26):
            strategy.tell(score(strategy.ask()))
        given[len(wanted)] = spy.given
    assert given[1].count(None) == 2  # at the first prediction, and after 20 results
    assert len(given[2]) == 16
    assert set(given[2]) == {None}


def test_it_works_on_the_spaces_that_we_ship() -> None:
    space = Chain((1, 8, 8), 10, depth=(2, 3), widths=(4, 8))
    strategy = create("predictor", space, objectives(["accuracy", "locality"]), 0, initial=4, pool=8)
    for number in range(7):
        genotype = strategy.ask()
        metrics = {"accuracy": number / 10, "locality": 0.5}
        strategy.tell(Result(str(genotype), genotype.digest, "ok", metrics))


def test_unique_cells_have_unique_features() -> None:
    space = Cells201(unique=True)
    seen = {frozenset(features(space.genotype(code)).items()) for code in space.codes[::9]}
    assert len(seen) > 0.97 * len(space.codes[::9])
