"""The mixture against sums over plans, one network at a time."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from neurons.errors import UserError
from snn_nas.learning import learn
from snn_nas.search.preferences import choices
from snn_nas.spaces import build
from snn_nas.spaces.space import Space
from snn_nas.supernet.bank import Bank, Key
from snn_nas.supernet.bilevel import architecture_gradient, halves, search
from snn_nas.supernet.blueprint import blueprint, place
from snn_nas.supernet.mixture import Mixture
from snn_nas.training_settings import Training
from tests.search.supernet_data import CLASSES, SHAPE, batch, chain, darts, dataset, nb201


def mixture(space: Space, seed: int = 0) -> Mixture:
    torch.manual_seed(seed)
    made = Mixture(blueprint(space, 1000)).train()
    with torch.no_grad():
        for weights in made.architecture:
            weights.normal_()
    return made


def lent(made: Mixture) -> Bank:
    """The mixture's layers, as a bank from which networks borrow; readouts under every transport."""
    bank = Bank(replace(dataset(), mean=(0.0,), std=(1.0,)), Training(), 1)
    for node in made.graph.layers:
        for transport in {node.transport, "none"}:
            key = Key.of(replace(node, name=place(node.name), transport=transport), made.graph.T)
            bank.layers[key] = made.layers[node.name]  # type: ignore[assignment]
    return bank


def by_hand(space: Space, made: Mixture, images: Tensor, **some: tuple[Any, ...]) -> Tensor:
    """The sum over plans, or those with `some` choices only, of their probability times what their network puts out."""
    bank, keys = lent(made), choices(space)
    known = set(bank.layers)
    total = torch.zeros(made.graph.T, len(images), CLASSES)
    p = made.probabilities()
    for picked in itertools.product(*(some.get(key, values) for key, values in keys.items())):
        plan = dict(zip(keys, picked, strict=True))
        chance = math.prod(p[key][keys[key].index(value)] for key, value in plan.items())
        total = total + chance * bank.network(space.decode(plan)).train()(images)
    assert set(bank.layers) == known  # every weight was the supernet's
    return total


SPACES = {
    "rules, kernels": chain(rules=["usf", "dfa"], kernels=[1, 3]),
    "shapes": chain(widths=[2, 3], downs=["none", "avg", "stride"], readouts=["usf", "fa"]),
    "repairs": chain(skips=[0, 1], ops=["conv", "sepconv"]),
}


@pytest.mark.parametrize("name", SPACES)
def test_a_mixture_is_the_expectation_over_plans(name: str) -> None:
    """With one place what follows is linear in it, so expectations of networks and of outputs are one."""
    space = SPACES[name]
    made = mixture(space)
    images, labels = batch()
    whole = by_hand(space, made, images)
    with made.exactly():
        torch.testing.assert_close(made(images), whole, rtol=1e-4, atol=1e-5)
    theirs = torch.autograd.grad(F.cross_entropy(whole.mean(0), labels), list(made.architecture), allow_unused=True)
    architecture_gradient(made, images, labels, Training())
    for weights, gradient in zip(made.architecture, theirs, strict=True):
        found = torch.zeros_like(weights) if weights.grad is None else weights.grad
        expected = torch.zeros_like(weights) if gradient is None else gradient
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_architecture_gradients_equal_finite_differences(loss: str) -> None:
    made = mixture(chain(widths=[2, 3], downs=["none", "avg"], rules=["usf", "stdp"])).double()
    images, labels = batch()
    images = images.double()
    architecture_gradient(made, images, labels, Training(loss=loss))

    def of_the_training() -> float:
        with torch.no_grad(), made.exactly():
            currents = made(images)
            each = [F.cross_entropy(current, labels) for current in currents]
            return float(torch.stack(each).mean() if loss == "tet" else F.cross_entropy(currents.mean(0), labels))

    for weights in made.architecture:
        for i in range(len(weights)):
            kept, ends = weights[i].item(), []
            for side in (1e-4, -1e-4):
                with torch.no_grad():
                    weights[i] = kept + side
                ends.append(of_the_training())
            with torch.no_grad():
                weights[i] = kept
            assert weights.grad is not None
            assert float(weights.grad[i]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-7)


def test_a_chain_of_two_depths_is_the_sum_over_both() -> None:
    """Each place has one choice, so that depth alone is mixed. (Maps differ, or both depths would have one readout.)"""
    space = chain(depth=[1, 2], downs=["avg"], grid=6)
    made = mixture(space)
    images, _ = batch()
    torch.testing.assert_close(made(images), by_hand(space, made, images), rtol=1e-4, atol=1e-5)


def _sure(made: Mixture, chosen: dict[str, Any]) -> None:
    """Make choices all but certain."""
    for (key, values), weights in zip(made.choices.items(), made.architecture, strict=True):
        if key in chosen:
            with torch.no_grad():
                weights.copy_(torch.tensor([0.0 if value == chosen[key] else -60.0 for value in values]))


def test_an_edge_of_nb201_is_the_expectation_of_its_operation() -> None:
    """Where all other edges carry nothing; `none` adds nothing, though the space holds no cell of it alone."""
    space = nb201(ops=["none", "skip", "conv1", "avg"], rules=["usf", "fa"])
    made = mixture(space)
    others = {f"{edge}.op": "none" for edge in ("0>1", "0>2", "1>2", "1>3", "2>3")} | {"stem.rule": "usf"}
    others |= {f"{edge}.rule": "usf" for edge in ("0>1", "0>2", "1>2", "1>3", "2>3")}
    _sure(made, others)
    images, _ = batch()
    some = {key: (value,) for key, value in others.items()} | {"0>3.op": ("conv1", "avg")}
    found, p = made(images), made.probabilities()["0>3.op"]
    expected = by_hand(space, made, images, **some)
    readout = made.layers["readout|0"]
    bias = readout.synapse.bias  # type: ignore[union-attr]
    assert bias is not None
    _sure(made, {"0>3.op": "skip"})
    skipped = made(images)
    torch.testing.assert_close(found, expected + p[1] * skipped + p[0] * bias, rtol=1e-3, atol=1e-4)


def test_an_edge_of_darts_weighs_what_its_plans_do() -> None:
    """The weight of every option of every node, against a walk over all plans of a cell."""
    space = darts(rules=["usf", "frozen"])
    made = mixture(space)
    keys, p = choices(space), {key: each.detach() for key, each in made.probabilities().items()}
    cell = [key for key in keys if key.startswith("normal.") and not key.startswith("normal.pre")]
    expected: dict[tuple[int, int, str, str], float] = {}
    for picked in itertools.product(*(keys[key] for key in cell)):
        plan = dict(zip(cell, picked, strict=True))
        chance = math.prod(float(p[key][keys[key].index(value)]) for key, value in plan.items())
        for node in (2, 3):
            for side, source in enumerate(str(plan.get(f"normal.{node}.inputs", "0,1")).split(","), 1):
                op, rule = str(plan[f"normal.{node}.{side}.op"]), str(plan[f"normal.{node}.{side}.rule"])
                at = int(source), node, op, rule if op == "dil3" else ""
                expected[at] = expected.get(at, 0.0) + chance
    weights = made.weights()
    found: dict[tuple[int, int, str, str], float] = {}
    for node in (2, 3):
        name = f"cell1_node{node}"
        for option, weight in zip(made.mixes[name].options, weights[name].tolist(), strict=True):
            graph_node = made.graph[option.node]
            conv = graph_node.op == "layer"
            source = int(option.node.split("_")[1].partition("to")[0]) if conv else _source(option.node)
            rule = "" if not conv else "frozen" if str(graph_node.rule) == "frozen" else "usf"
            found[source, node, "dil3" if conv else "skip", rule] = weight
    assert found == pytest.approx(expected, abs=1e-6)


def _source(name: str) -> int:
    """Which node of the cell a skip comes from."""
    return int(name[-1])


def test_the_gradient_of_architecture_weights_does_not_depend_on_rules() -> None:
    """Same weights, other rules: every layer is run through exactly, whatever it hands down or takes itself."""
    images, labels = batch()
    found = {}
    reference = mixture(chain(depth=[2], kernels=[1, 3], rules=["bp"]), seed=1)
    for rule in ("bp", "fa", "dfa", "stdp", "frozen"):
        made = mixture(chain(depth=[2], kernels=[1, 3], rules=[rule]), seed=1)
        made.load_state_dict(reference.state_dict(), strict=False)
        architecture_gradient(made, images, labels, Training())
        found[rule] = [None if w.grad is None else w.grad.clone() for w in made.architecture]
    moving = [i for i, each in enumerate(found["bp"]) if each is not None and float(each.abs().max()) > 1e-6]
    assert moving
    for rule, gradients in found.items():
        for i in moving:
            torch.testing.assert_close(gradients[i], found["bp"][i], msg=rule)


def test_weights_learn_by_their_own_rule() -> None:
    """One batch: a frozen layer gets nothing, STDP writes its own, feedback alignment leaves another error below."""
    images, labels = batch()
    made = mixture(chain(depth=[2], rules=["usf", "fa", "stdp", "frozen"]))
    loss = learn(made, images, labels, Training())
    assert math.isfinite(float(loss))
    assert all(weights.grad is None for weights in made.architecture)
    for node in made.graph.layers:
        gradient = made.layers[node.name].synapse.weight.grad  # type: ignore[union-attr]
        assert (gradient is None) == (str(node.rule) == "frozen"), node.name


@pytest.mark.parametrize(
    "space",
    [chain(widths=[1, 8], depth=[1]), nb201(), darts(), chain(widths=[1, 2], rules=["eprop"])],
    ids=["chain", "nb201", "darts", "step by step"],
)
def test_search_is_deterministic_and_moves(space: Space) -> None:
    data = dataset(24)
    runs = []
    for _ in range(2):
        steps: list[tuple[int, int]] = []
        made = search(
            blueprint(space, 100), data, Training(epochs=2, batch_size=6), seed=3, warmup=0.5,
            on_step=lambda done, total, loss, steps=steps: steps.append((done, total)),
        )  # fmt: skip
        assert steps == [(i, 4) for i in range(1, 5)]
        runs.append({key: p.tolist() for key, p in made.probabilities().items()})
    assert runs[0] == runs[1]
    assert any(len(set(each)) > 1 for each in runs[0].values())


def test_halves_are_disjoint_and_whole() -> None:
    first, second = halves(dataset(25).train)
    assert (len(first), len(second)) == (13, 12)
    with pytest.raises(UserError, match="two halves of at least 2 each, not from 3"):
        halves(dataset(3).train)


@pytest.mark.parametrize(
    ("space", "limit", "message"),
    [
        (chain(T=[2, 4]), 100, r"one supernet, of one T: write `T: \[4\]` in the space, or search with eg_nas"),
        (nb201(channels=[2, 4]), 100, r"of one channels: write `channels: \[4\]`"),
        (chain(kernels=[1, 3, 5]), 3, r"would mix 4 layers at once, more than its `layers: 3`: narrow the space"),
    ],
)
def test_what_no_supernet_holds_is_refused_with_advice(space: Space, limit: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        blueprint(space, limit)


def test_a_chain_of_the_shipped_kind_can_be_built() -> None:
    small = {"depth": [1, 2], "widths": [2, 4], "kernels": [3], "rules": ["usf", "stdp"]}
    space = build("chain", shape=SHAPE, classes=CLASSES, choices=small)
    assert 100 < len(blueprint(space, 10_000).graph.layers) < 10_000
