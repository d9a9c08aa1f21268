"""The trainer calls every hook of every rule, at its time, and nothing learns outside of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from neurons.errors import UserError
from rules.frozen import Frozen
from rules.rule import Rule
from rules.stdp import STDP
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.data.splits import Split
from snn_nas.genotype import parse
from snn_nas.training import Training, learn, predict, train

ONE_EPOCH = Training(epochs=1, batch_size=50)
STATE = dict[str, Tensor]


@pytest.fixture(scope="module")
def digits() -> data_sets.Dataset:
    return data_sets.load("digits", train=200)


def build(rules: str, readout: str = "none") -> networks.Network:
    torch.manual_seed(0)
    genes = ";".join(f"conv(c=8)@{rule}/lif(threshold=0.5)" for rule in rules.split())
    return networks.build(parse(f"chain(T=2){{{genes};readout@delta~{readout}}}"), (1, 8, 8), 10)


def state(network: networks.Network, layer: str) -> STATE:
    return {name: value.clone() for name, value in network.layers[layer].state_dict().items()}


def same(one: STATE, other: STATE) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_every_rule_is_told_of_every_step(digits: data_sets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    told: Counter[str] = Counter()
    monkeypatch.setattr(Rule, "after_step", lambda self, layer: told.update([self.declaration.name]))
    network = build("frozen local", "none")
    train(network, digits, ONE_EPOCH, seed=0)
    assert told == {"frozen": 4, "local": 4, "delta": 4}


def test_a_frozen_layers_feedback_is_redrawn_too(digits: data_sets.Dataset) -> None:
    network = build("usf frozen~brsf", "usf")
    before = state(network, "layer2")
    train(network, digits, ONE_EPOCH, seed=0)
    after = state(network, "layer2")
    assert torch.equal(before["synapse.weight"], after["synapse.weight"])
    assert not torch.equal(before["transport.magnitude"], after["transport.magnitude"])


def test_layerwise_layers_learn_first_from_finished_layers_and_then_stay(
    digits: data_sets.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, bool]] = []
    update = STDP.update

    def watched(rule: STDP, layer: networks.Layer, signals: object) -> object:
        first = layer.synapse.weight.shape[1] == 1
        seen.append(("layer1" if first else "layer2", torch.is_grad_enabled()))
        return update(rule, layer, signals)  # type: ignore[arg-type]

    monkeypatch.setattr(STDP, "update", watched)
    network = build("stdp stdp local")
    first = state(network, "layer1")
    train(network, digits, ONE_EPOCH, seed=0)
    assert [name for name, _ in seen] == ["layer1"] * 4 + ["layer2"] * 4
    assert not same(first, state(network, "layer1"))
    images, labels = next(digits.train.batches(50))
    network.train()
    for name in ("layer1", "layer2"):
        network.layers[name].eval()
    learn(network, images, labels, ONE_EPOCH)
    assert len(seen) == 8  # a finished layer is not asked again


@pytest.mark.parametrize("rule", ["stdp", "rstdp", "softhebb", "hippo"])
@pytest.mark.parametrize("below", ["", "linear(c=16)@local/lif;"])
def test_a_last_batch_of_one_image_is_left_out(rule: str, below: str) -> None:
    """In the passes of layers that learn first too: linear norms have no variance of one."""
    data = data_sets.load("digits", train=65, validation=20)
    torch.manual_seed(0)
    text = f"chain(T=2){{{below} linear(c=20)@{rule}/lif(threshold=0.5); readout@delta}}"
    network = networks.build(parse(text), data.shape, data.classes)
    name = "layer2" if below else "layer1"
    before = state(network, name)
    train(network, data, Training(epochs=1, batch_size=64), seed=0)
    assert not torch.equal(before["synapse.weight"], network.layers[name].synapse.weight)
    assert all(value.isfinite().all() for value in network.state_dict().values())


def test_one_image_is_no_batch() -> None:
    data = data_sets.load("digits", train=20, validation=20)
    with pytest.raises(UserError, match="train on 2 or more"):
        train(build("usf", "usf"), replace(data, train=data.train.first(1)), ONE_EPOCH, seed=0)


def test_a_finished_layers_norm_is_that_of_its_last_weights(digits: data_sets.Dataset) -> None:
    network = build("softhebb stdp")
    train(network, digits, ONE_EPOCH, seed=0)
    network.eval()
    for name in ("layer1", "layer2"):
        norm, seen = network.layers[name].norm, []
        hook = norm.register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
        with torch.no_grad():
            network(next(digits.train.batches(len(digits.train)))[0])
        hook.remove()
        normed = seen[0].transpose(0, 1).flatten(1)
        torch.testing.assert_close(normed.mean(1), torch.zeros(8), atol=0.02, rtol=0)
        torch.testing.assert_close(normed.std(1), torch.ones(8), atol=0.05, rtol=0)
        assert network.layers[name].record is None


def test_an_unsupervised_layer_never_sees_labels(digits: data_sets.Dataset) -> None:
    found = []
    for shift in (0, 1):
        split = Split(digits.train.images, (digits.train.labels + shift) % 10, digits.train.scale)
        network = build("stdp softhebb")
        data = data_sets.Dataset(**{**vars(digits), "train": split})
        train(network, data, ONE_EPOCH, seed=0)
        found.append(network)
    for layer in ("layer1", "layer2"):
        assert same(*(state(network, layer) for network in found))
    assert not same(*(state(network, "readout") for network in found))


def test_a_layerwise_rule_that_declares_a_broadcast_is_told_the_labels(digits: data_sets.Dataset) -> None:
    found = []
    for shift in (0, 1):
        split = Split(digits.train.images, (digits.train.labels + shift) % 10, digits.train.scale)
        network = build("rstdp hippo")
        train(network, data_sets.Dataset(**{**vars(digits), "train": split}), ONE_EPOCH, seed=0)
        found.append(network)
    for layer in ("layer1", "layer2"):
        one, other = (network.layers[layer].synapse.weight for network in found)
        assert not torch.equal(one, other)


def test_rules_are_prepared_before_they_learn(digits: data_sets.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {}

    def prepare(self: Rule, layer: networks.Layer, inputs: object) -> None:
        shapes[layer.pair.name] = tuple(next(iter(inputs)).shape)  # type: ignore[call-overload]

    monkeypatch.setattr(STDP, "prepare", prepare)
    monkeypatch.setattr(Frozen, "prepare", prepare)
    network = build("stdp frozen")
    train(network, digits, ONE_EPOCH, seed=0)
    assert shapes == {"stdp": (50, 1, 8, 8), "frozen": (2, 50, 8, 8, 8)}


def test_kp_aligns_while_training(digits: data_sets.Dataset) -> None:
    network = build("usf kp", "kp")

    def angle() -> Tensor:
        layer = network.layers["layer2"]
        matrix, weight = layer.transport.matrix.flatten(), layer.synapse.weight.detach().flatten()
        return torch.nn.functional.cosine_similarity(matrix, weight, dim=0)

    before = angle()
    train(network, digits, Training(epochs=40, batch_size=10), seed=0)
    assert before < 0.3
    assert angle() > 0.5


@pytest.mark.parametrize("rules", ["stdp local", "dfa softhebb", "usf kp", "frsf brsf", "drtp eprop"])
def test_prediction_never_learns(digits: data_sets.Dataset, rules: str) -> None:
    network = build(rules, "usf")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    predict(network, digits.validation)
    assert same(before, network.state_dict())


@pytest.mark.parametrize(
    ("rules", "readout", "expected"),
    [
        ("dfa", "none", 8 * 64 * 10),
        ("dfa(feedback=learned)", "none", 8 * 64 * 10),  # and not what it notes on the way
        ("dfa(feedback=shared)", "none", 8 * 10),
        ("eprop drtp", "none", 2 * 8 * 64 * 10),
        ("stdp softhebb rstdp hippo", "none", 0),
        ("bp kp", "kp", 8 * 8 * 9 + 8 * 16 * 10),  # and not the weights as they were before the step
        ("bp brsf", "frsf", 8 * 8 * 9 + 8 * 16 * 10),
        ("bp usf", "exact", 0),
        ("local", "none", 0),
    ],
)
def test_only_what_carries_an_error_counts_as_feedback(rules: str, readout: str, expected: int) -> None:
    assert build(rules, readout).parameter_counts()["feedback"] == expected


def test_feedback_is_counted_apart() -> None:
    plain, fed = build("usf usf", "usf").parameter_counts(), build("fa fa", "fa").parameter_counts()
    assert plain["feedback"] == 0
    assert fed["feedback"] == 8 * 8 * 9 + 8 * 16 * 10  # layer2 and the readout; below layer1 is nobody
    assert {key: plain[key] for key in ("weights", "other", "heads")} == {
        key: fed[key] for key in ("weights", "other", "heads")
    }
