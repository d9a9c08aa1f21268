"""Training-free filters against their formulas, spelled out; and a space that is drawn from through one of them."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from neurons.errors import UserError
from snn_nas.evaluation import EvaluationSettings
from snn_nas.filters import FILTERS, Scorer, firing_rate, naswot, parameters, sahd
from snn_nas.filters.spikes import hamming, spikes
from snn_nas.genotype import Genotype, parse
from snn_nas.network import Network, build
from snn_nas.nni.in_process import search
from snn_nas.nni.study import Study, build_space
from snn_nas.search import create, objectives, trial_seed
from snn_nas.search.filtered import Filtered
from tests.contracts.toy import ToySpace, score

GENOTYPE = parse(
    "chain(T=2){conv(c=4,down=avg)@stdp/lif(threshold=0.5); conv(c=3)@usf/lif(threshold=0.5); "
    "readout(grid=2)@delta~usf}"
)
SPACE: dict[str, Any] = {"name": "chain", "data": "digits", "depth": [2], "widths": [4, 8], "rules": ["usf", "local"]}
DIGITS = EvaluationSettings.of({"data": "digits"})


@pytest.fixture(scope="module")
def images() -> Tensor:
    return next(DIGITS.load().train.batches(12))[0]


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return build(GENOTYPE, (1, 8, 8), 10)


def by_hand(network: Network, images: Tensor, sparsity_aware: bool) -> float:
    """The kernel, neuron by neuron."""
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64)
    for found in spikes(network, images).values():
        for code in found.int().tolist():
            for i, mine in enumerate(code):
                for j, other in enumerate(code):
                    size = len(mine)
                    distance = float(sum(a != b for a, b in zip(mine, other, strict=True)))
                    if sparsity_aware:
                        r, s = mine.count(0) / size, other.count(0) / size
                        chance = r * (1 - s) + (1 - r) * s
                        distance = 0.5 * distance / chance if chance else 0.0
                    kernel[i, j] += size - distance
    return float(torch.logdet(kernel))


def test_kernels_are_their_formulas(network: Network, images: Tensor) -> None:
    assert naswot.score(network, images) == pytest.approx(by_hand(network, images, sparsity_aware=False))
    assert sahd.score(network, images) == pytest.approx(by_hand(network, images, sparsity_aware=True))


def test_what_is_looked_at_are_the_spikes_of_a_forward_pass(network: Network, images: Tensor) -> None:
    found = spikes(network, images)
    assert list(found) == ["layer1", "layer2"]
    network.eval()
    for layer in network:
        layer.norm.train()
    with torch.no_grad():
        for name, codes in found.items():
            assert codes.shape[:2] == (2, 12)
            assert set(codes.unique().tolist()) == {0.0, 1.0}
            assert torch.equal(codes, network(images, until=name, through=True).flatten(2))


def test_the_sparsity_aware_distance_is_half_the_neurons_by_chance_whatever_the_rates() -> None:
    drawn = torch.Generator().manual_seed(0)
    for rate in (0.01, 0.1, 0.5, 0.9):
        code = (torch.rand(40, 4000, generator=drawn, dtype=torch.float64) < rate).double()
        others = ~torch.eye(40, dtype=torch.bool)
        assert sahd.distance(code)[others].mean().item() == pytest.approx(2000, rel=0.02)
        assert hamming(code)[others].mean().item() == pytest.approx(4000 * 2 * rate * (1 - rate), rel=0.05)
    silent = torch.zeros(3, 10, dtype=torch.float64)
    assert sahd.distance(silent).abs().max() == 0


def test_images_that_are_one_to_it_have_no_determinant(network: Network, images: Tensor) -> None:
    alike = images[:1].expand(12, -1, -1, -1)
    assert naswot.score(network, alike) == sahd.score(network, alike) == -math.inf


def test_parameters_and_rates(network: Network, images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parameters.score(network, images) == network.graph.weights == 36 + 108 + 3 * 4 * 10
    rates = {"quiet": torch.full((1, 1, 1), 0.01), "fine": torch.full((1, 1, 1), 0.3), "loud": torch.ones(1, 1, 1)}
    monkeypatch.setattr(firing_rate, "spikes", lambda *_: rates)
    assert firing_rate.score(network, images) == pytest.approx(-2 * math.log(2))


@pytest.mark.parametrize("name", FILTERS)
def test_a_score_is_of_the_weights_that_the_trial_draws_and_leaves_random_numbers_alone(name: str) -> None:
    scorer, before = Scorer(name, DIGITS, seed=3), torch.get_rng_state()
    found = scorer(GENOTYPE)
    assert torch.equal(torch.get_rng_state(), before)
    data = DIGITS.load()
    torch.manual_seed(trial_seed(3, GENOTYPE.digest))
    network = build(GENOTYPE, data.shape, data.classes, normalise=data.normalise)
    module = {"parameters": parameters, "sahd": sahd, "naswot": naswot, "firing_rate": firing_rate}[name]
    assert found == scorer(GENOTYPE) == module.score(network, next(data.train.batches(64))[0])


# -- a space through a filter ------------------------------------------------------------------------------------------


def accuracy(genotype: Genotype) -> float:
    return score(genotype).metrics["accuracy"]


def test_of_so_many_draws_the_best_that_is_new() -> None:
    space, plain = Filtered(ToySpace(), accuracy, 5), ToySpace()
    drawn, again = random.Random(1), random.Random(1)
    assert space.sample(drawn) == max([plain.sample(again) for _ in range(5)], key=accuracy)
    start = plain.make(0, 0)
    assert space.mutate(start, drawn) == max([plain.mutate(start, again) for _ in range(5)], key=accuracy)
    best = max([plain.sample(random.Random(7)) for _ in range(1)], key=accuracy)
    space.known = lambda: {best.digest}
    assert space.sample(random.Random(7)) != best
    assert (space.size(), space.n) == (64, 8)


def test_a_filter_that_knows_finds_the_peak_earlier() -> None:
    def needed(pool: int, seed: int) -> int:
        space = Filtered(ToySpace(20), accuracy, pool) if pool else ToySpace(20)
        strategy = create("random", space, objectives(["accuracy"]), seed)
        return next(k for k in range(400) if accuracy(strategy.ask()) == 1)

    assert sum(needed(8, seed) for seed in range(8)) < 0.4 * sum(needed(0, seed) for seed in range(8))


@pytest.mark.parametrize("name", ["predictor", "darts", "eg_nas"])
def test_what_screens_by_itself_takes_no_filter(name: str, tmp_path: Path) -> None:
    given = {"space": SPACE, "strategy": name, "filter": "sahd"}
    with pytest.raises(UserError, match=f"strategy {name} chooses among candidates by a model of its own: leave out"):
        Study(tmp_path, given)


def test_of_a_local_search_the_starts_are_filtered_alone() -> None:
    looked: list[Genotype] = []
    space = Filtered(ToySpace(20), lambda genotype: looked.append(genotype) or accuracy(genotype), 5)  # type: ignore[func-returns-value]
    strategy = create("local_search", space, objectives(["accuracy"]))
    space.serve(strategy)
    strategy.tell(score(strategy.ask()))
    assert len(looked) == 5
    for _ in range(3):
        strategy.ask()
    assert len(looked) == 5


def test_a_search_proposes_through_it_and_goes_on_alike(tmp_path: Path) -> None:
    given = {"space": SPACE, "strategy": {"name": "evolution", "population": 3}, "filter": {"name": "sahd", "pool": 3}}
    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = Study(tmp_path / "whole", given)
    search(whole, DIGITS, 6, evaluator="tests.snn_nas.test_filters:quick")
    space, rng, scorer = build_space(SPACE), random.Random(0), Scorer("sahd", DIGITS, 0)
    assert whole.results[0].genotype == str(max([space.sample(rng) for _ in range(3)], key=scorer))
    for trials in (2, 6):
        parts = Study(tmp_path / "parts", given)
        search(parts, DIGITS, trials, evaluator="tests.snn_nas.test_filters:quick")
    assert parts.results == whole.results


def quick(genotype: Genotype, settings: Any, seed: int, on_epoch: Any) -> Any:
    from snn_nas.search import Result

    return Result(str(genotype), genotype.digest, "ok", {"accuracy": seed / 2**32}, seed=seed)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("sadh", "did you mean 'sahd'"),
        ({"name": "sahd", "pools": 3}, "did you mean 'pool'"),
        ({"name": "sahd", "pool": 1}, "at least 2"),
        (7, "filter is parameters, sahd"),
    ],
)
def test_wrong_settings_are_one_line(given: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        Study(tmp_path, {"space": SPACE, "filter": given})


def test_a_space_of_ones_own_names_no_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names its data"):
        Study(tmp_path, {"space": {"factory": "tests.contracts.toy:space"}, "filter": "sahd"})
