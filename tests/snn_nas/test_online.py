"""Networks that train step by step: the authors' loop written out, the same gradients, memory flat in T."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.memory import peak
from rules.rule import Signals
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas import online
from snn_nas.genotype import parse
from snn_nas.network import Network
from snn_nas.training import Training, learn, mixed, train

HIDDEN = "conv(c=6,down=avg)@{a}/lif(threshold=0.5); conv(c=8)@{b}/lif(threshold=0.5)"


def build(a: str, b: str, up: str, T: int = 4, encoding: str = "direct", seed: int = 0) -> Network:
    text = f"chain(T={T},encoding={encoding}) {{ {HIDDEN.format(a=a, b=b)}; readout@delta~{up} }}"
    torch.manual_seed(seed)
    return networks.build(parse(text), (1, 8, 8), 10)


def batch(seed: int = 0, size: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(size, 1, 8, 8, generator=generator)
    return images.double(), torch.randint(10, (size,), generator=generator)


def gradients(network: Network) -> dict[str, Tensor]:
    return {name: layer.synapse.weight.grad.clone() for name, layer in network.layers.items()}


def step_by_step(network: Network, images: Tensor, labels: Tensor, *, each_step: bool = False) -> dict[str, Tensor]:
    network.zero_grad()
    online.learn(network, images, labels, each_step=each_step, autocast=mixed("float32", "cpu"))
    return gradients(network)


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "up", "expected"),
    [
        ("ottt", "ottt~exact", "exact", True),
        ("eprop", "eprop", "none", True),
        ("frozen", "ottt", "usf", True),
        ("ottt", "frozen~usf", "usf", True),
        ("eprop", "ottt", "usf", True),
        ("ottt", "bp", "exact", False),
        ("eprop", "local", "none", False),
        ("stdp", "eprop", "none", False),
        ("frozen", "frozen", "none", False),  # the control trains as the rules that it is held against
    ],
)
def test_networks_of_online_rules_train_step_by_step(
    a: str, b: str, up: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build(a, b, up)
    assert network.online == expected
    taken = []
    monkeypatch.setattr(online, "learn", lambda *_, **__: taken.append(1) or torch.zeros(()))
    learn(network, batch()[0].float(), batch()[1], Training())
    assert bool(taken) == expected


def test_adaptive_eprop_trains_layer_by_layer() -> None:
    text = "chain(T=2) { conv(c=4)@eprop/alif; conv(c=4)@eprop/lif; readout@delta }"
    assert not networks.build(parse(text), (1, 8, 8), 10).online


# -- what -------------------------------------------------------------------------------------------------------------


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        return grad / (1 + (torch.pi * ctx.saved_tensors[0]).square())


def authors_loop(network: Network, labels: Tensor, frames: Tensor) -> dict[str, Tensor]:
    """Xiao et al. 2022, algorithm 1, by hand: detached membranes, a trace for each synapse, a backward pass a step."""
    first, second, readout = network.layers.values()
    found = {name: torch.zeros_like(layer.synapse.weight) for name, layer in network.layers.items()}
    v1 = v2 = trace1 = trace2 = total = 0.0
    target = F.one_hot(labels, 10)
    for t, x in enumerate(frames, 1):
        at1 = F.conv2d(x, first.synapse.weight, padding=1)
        h1 = 0.5 * v1 + 0.5 * F.batch_norm(at1, None, None, first.norm.weight, first.norm.bias, True)
        s1 = Spike.apply(h1 - 0.5)
        v1 = (h1 - 0.5 * s1).detach()
        pooled = F.avg_pool2d(s1, 2)
        at2 = F.conv2d(pooled, second.synapse.weight, padding=1)
        h2 = 0.5 * v2 + 0.5 * F.batch_norm(at2, None, None, second.norm.weight, second.norm.bias, True)
        s2 = Spike.apply(h2 - 0.5)
        v2 = (h2 - 0.5 * s2).detach()
        features = s2.flatten(1)
        out = F.linear(features, readout.synapse.weight, readout.synapse.bias)
        total = total + out.detach()
        error = ((total / t).softmax(1) - target) / (len(labels) * len(frames))
        e1, e2 = torch.autograd.grad(out, (at1, at2), error)
        trace1, trace2 = 0.5 * trace1 + x, 0.5 * trace2 + pooled.detach()
        found["layer1"] += nn.grad.conv2d_weight(trace1, first.synapse.weight.shape, e1, padding=1)
        found["layer2"] += nn.grad.conv2d_weight(trace2, second.synapse.weight.shape, e2, padding=1)
        found["readout"] += error.T @ features.detach()
    return found


@pytest.mark.parametrize("encoding", ["direct", "latency"])
def test_ottt_is_the_authors_loop(encoding: str) -> None:
    network = build("ottt", "ottt~exact", "exact", encoding=encoding).double()
    images, labels = batch()
    frames = images.expand(4, *images.shape) if encoding == "direct" else network.encoding(images)
    expected = authors_loop(network, labels, frames)
    found = step_by_step(network, images, labels)
    for name, gradient in expected.items():
        assert gradient.abs().max() > 1e-6
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("each_step", [False, True])
@pytest.mark.parametrize("encoding", ["direct", "latency"])
@pytest.mark.parametrize(
    ("a", "b", "up", "norms"),
    [("ottt", "ottt~exact", "exact", True), ("ottt", "ottt~frsf", "fa", True), ("eprop", "eprop", "none", False)],
)
def test_weights_get_what_they_get_layer_by_layer(
    a: str, b: str, up: str, norms: bool, encoding: str, each_step: bool
) -> None:
    """Under the same errors. ottt norms single steps either way; eprop, layer by layer, norms all steps at once."""
    network = build(a, b, up, encoding=encoding).double()
    if not norms:
        for layer in network:
            layer.norm = nn.Identity()
    images, labels = batch()
    found = step_by_step(network, images, labels, each_step=each_step)
    network.zero_grad()
    currents = network(images)
    signals = Signals.of(currents, labels, each_step=each_step)
    network.roots(signals)
    currents.backward(signals.errors())
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-9)


def test_the_loss_is_that_of_the_mean_over_time() -> None:
    network = build("ottt", "ottt~exact", "exact", T=1).double()
    images, labels = batch()
    loss = learn(network, images, labels, Training(label_smoothing=0.1))
    ours = gradients(network)
    network.zero_grad()
    expected = F.cross_entropy(network(images).mean(0), labels, label_smoothing=0.1)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach())
    for name, gradient in gradients(network).items():  # of one step, online is all there is
        torch.testing.assert_close(ours[name], gradient)


@pytest.mark.parametrize("name", ["mean", "tet"])
def test_a_networks_gradients_are_those_of_training_layer_by_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """e-prop both ways, by the one function that trains; without norms, whose statistics differ."""
    found, losses = [], []
    for by_steps in (True, False):
        monkeypatch.setattr(Network, "online", by_steps)
        network = build("eprop", "eprop", "none").double()
        for layer in network:
            layer.norm = nn.Identity()
        with torch.no_grad():
            network.layers["readout"].synapse.weight.mul_(6.0)  # or both losses would have nearly the same errors
        losses.append(learn(network, *batch(), Training(loss=name, label_smoothing=0.1)))
        found.append(gradients(network))
    torch.testing.assert_close(*losses)
    for layer in ("layer1", "layer2"):  # the readout's own error is known at the end, layer by layer
        torch.testing.assert_close(found[0][layer], found[1][layer], rtol=1e-5, atol=1e-9)


def test_a_frozen_layer_hands_the_error_of_each_step_down() -> None:
    network = build("ottt", "frozen~exact", "exact").double()
    images, labels = batch()
    expected = authors_loop(network, labels, images.expand(4, *images.shape))
    network.zero_grad()
    online.learn(network, images, labels, autocast=mixed("float32", "cpu"))
    assert network.layers["layer2"].synapse.weight.grad is None
    torch.testing.assert_close(network.layers["layer1"].synapse.weight.grad, expected["layer1"])


# -- how much ---------------------------------------------------------------------------------------------------------


def worst(rules: tuple[str, str, str], T: int, encoding: str) -> int:
    """Bytes at the worst moment of one batch."""
    network = build(*rules, T=T, encoding=encoding)
    images, labels = batch(size=32)
    learn(network, images.float(), labels, Training())
    network.zero_grad()
    # what was there before and is freed meanwhile makes a job look smaller, never larger
    return max(peak(lambda: learn(network, images.float(), labels, Training())) for _ in range(3))


@pytest.mark.parametrize("encoding", ["direct", "poisson", "latency"])
@pytest.mark.parametrize("rules", [("ottt", "ottt~frsf", "usf"), ("eprop", "eprop", "none")], ids=lambda each: each[0])
def test_memory_is_flat_in_T(rules: tuple[str, str, str], encoding: str) -> None:
    few, many = (worst(rules, T, encoding) for T in (4, 32))
    assert many < 1.1 * few


def test_memory_of_back_propagation_grows_with_T() -> None:
    few, many = (worst(("bp", "bp", "exact"), T, "direct") for T in (4, 32))
    assert many > 5 * few


# -- how well ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "up"), [("ottt~exact", "exact"), ("ottt~usf", "usf"), ("eprop", "none")], ids=lambda each: each
)
def test_it_learns_digits(rule: str, up: str) -> None:
    digits = data_sets.load("digits", train=600)
    text = f"chain(T=2) {{ {HIDDEN.format(a=rule, b=rule)}; readout@delta~{up} }}".replace("c=6", "c=16")
    torch.manual_seed(0)
    network = networks.build(parse(text.replace("c=8", "c=16")), (1, 8, 8), 10)
    assert network.online
    history = train(network, digits, Training(epochs=6, batch_size=32), seed=0)
    assert history[-1].accuracy > 0.8
    assert history[-1].loss < history[0].loss


def test_same_seed_same_weights_bit_for_bit() -> None:
    digits = data_sets.load("digits", train=200)

    def run() -> dict[str, Tensor]:
        network = build("ottt~brsf", "ottt~brsf", "brsf", T=2, encoding="poisson")
        train(network, digits, Training(epochs=1), seed=3)
        return network.state_dict()

    first, second = run(), run()
    assert all(torch.equal(first[key], second[key]) for key in first)
