"""The loop: it learns, it is reproducible, and it adds nothing but what the rules ask for."""

from __future__ import annotations

import pytest
import torch

from neurons import population
from rules.registry import pair
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.genotype import Genotype, parse
from snn_nas.training import Diverged, Training, accuracy, learn, train

NEURON = "lif(threshold=0.5)"
SMALL = f"chain(T=2){{{{conv(c=16,down=avg)@{{rule}}/{NEURON}; conv(c=16)@{{rule}}/{NEURON}; readout@delta~{{up}}}}}}"


@pytest.fixture(scope="module")
def digits() -> data_sets.Dataset:
    return data_sets.load("digits", train=600)


def genotype(rule: str, up: str = "none") -> Genotype:
    return parse(SMALL.format(rule=rule, up=up))


def build(text: Genotype, seed: int = 0) -> networks.Network:
    torch.manual_seed(seed)
    return networks.build(text, (1, 8, 8), 10)


@pytest.mark.parametrize(
    ("rule", "up"),
    [("bp", "exact"), ("usf", "usf"), ("frsf", "frsf"), ("fa", "fa"), ("dfa", "none"), ("local", "none")],
)
def test_every_rule_learns_digits(digits: data_sets.Dataset, rule: str, up: str) -> None:
    history = train(build(genotype(rule, up)), digits, Training(epochs=6, batch_size=32), seed=0)
    assert history[-1].accuracy > 0.8
    assert history[-1].loss < history[0].loss


def test_same_seed_same_weights_bit_for_bit(digits: data_sets.Dataset) -> None:
    def run() -> dict[str, torch.Tensor]:
        network = build(genotype("brsf", "brsf"))
        train(network, digits, Training(epochs=1), seed=3)
        return network.state_dict()

    first, second = run(), run()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_bp_network_has_the_gradients_of_plain_autograd(digits: data_sets.Dataset) -> None:
    network = build(genotype("bp", "exact"))
    images, labels = next(digits.train.batches(32))
    learn(network, images, labels, Training())
    ours = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    torch.nn.functional.cross_entropy(network(images).mean(0), labels).backward()
    assert ours
    for name, p in network.named_parameters():
        torch.testing.assert_close(ours[name], p.grad)


def test_label_smoothing_reaches_the_broadcast_error(digits: data_sets.Dataset) -> None:
    """The error that dfa gets is the gradient of the very loss that the readout gets."""
    images, labels = next(digits.train.batches(16))
    network = build(genotype("dfa"))
    seen = {}
    network.roots = lambda signals: seen.update(error=signals.error) or []  # type: ignore[method-assign]
    logits = []
    network.register_forward_hook(lambda _m, _i, out: logits.append(out.detach().mean(0).requires_grad_()))
    learn(network, images, labels, Training(label_smoothing=0.1))
    loss = torch.nn.functional.cross_entropy(logits[0], labels, label_smoothing=0.1)
    torch.testing.assert_close(seen["error"], torch.autograd.grad(loss, logits[0])[0])


def test_frozen_layers_keep_their_weights_and_evaluation_learns_nothing(digits: data_sets.Dataset) -> None:
    network = build(genotype("frozen"))
    before = {name: layer.synapse.weight.clone() for name, layer in network.layers.items()}
    train(network, digits, Training(epochs=1), seed=0)
    after = {name: layer.synapse.weight for name, layer in network.layers.items()}
    assert torch.equal(before["layer1"], after["layer1"])
    assert torch.equal(before["layer2"], after["layer2"])
    assert not torch.equal(before["readout"], after["readout"])
    state = {key: value.clone() for key, value in network.state_dict().items()}
    accuracy(network, digits.validation)
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())


def test_a_loss_that_is_no_number_ends_training(digits: data_sets.Dataset) -> None:
    network = build(genotype("bp", "exact"))
    with torch.no_grad():
        network.layers["readout"].synapse.weight.fill_(float("nan"))
    with pytest.raises(Diverged, match="epoch 1"):
        train(network, digits, Training(epochs=2), seed=0)


def test_no_error_enters_a_layer_that_needs_none(digits: data_sets.Dataset) -> None:
    """Under a layer that hands nothing on, a local layer sees its own loss and nothing else."""
    text = parse("chain(T=2){conv(c=8)@local/lif; conv(c=8)@frsf/lif; readout@delta~usf}")
    network = build(text)
    images, labels = next(digits.train.batches(16))
    learn(network, images, labels, Training())
    ours = network.layers["layer1"].synapse.weight.grad.clone()
    alone = build(text)
    alone.train()
    alone(images)
    layer = alone.layers["layer1"]
    rate = layer.rule.features(layer.record.output.mean(0))
    torch.nn.functional.cross_entropy(layer.rule.head(rate), labels).backward()
    torch.testing.assert_close(ours, layer.synapse.weight.grad)


@pytest.mark.parametrize("rule", ["bp", "frsf", "fa", "local", "dfa", "stdp", "softhebb", "eprop"])
def test_bfloat16_changes_the_roundings_only(rule: str) -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        net = build(genotype(rule, pair(rule).transport))
        torch.manual_seed(1)
        learn(net, torch.rand(64, 1, 8, 8), torch.arange(64) % 10, Training(precision=precision))
        found.append([layer.synapse.weight.grad for layer in net])
    for exact, rounded in zip(*found, strict=True):
        assert rounded.dtype == torch.float32
        assert not torch.equal(exact, rounded)
        assert torch.cosine_similarity(exact.flatten(), rounded.flatten(), 0) > 0.9


def test_the_layout_of_an_error_is_nothing() -> None:
    neurons = population.build("lif")
    current = torch.randn(3, 2, 4, 5, 5).transpose(2, 4).contiguous().transpose(2, 4).requires_grad_()
    errors = torch.randn(3, 2, 4, 5, 5)
    for error in (errors, errors[0].expand(3, -1, -1, -1, -1), errors.transpose(2, 4).contiguous().transpose(2, 4)):
        found = torch.autograd.grad(neurons(current), current, error)[0]
        plain = torch.autograd.grad(population.build("lif", backend="plain")(current), current, error)[0]
        torch.testing.assert_close(found, plain)
