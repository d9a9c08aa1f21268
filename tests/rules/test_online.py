"""ottt and eprop step by step: against the gradient through time, and against each other's way of running."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from neurons import encodings
from rules.layer import Layer, Moment
from rules.registry import Pair, pair, rules
from rules.rule import Signals
from tests.contracts.bench import BATCH, CLASSES, SYNAPSES, Bench, labels, spikes
from tests.rules.brute import dense

PAIRS = [pair("eprop"), pair("ottt", "exact")]


def errors_at_spikes(bench: Bench, T: int) -> Tensor:
    return torch.randn(T, BATCH, *bench.layer.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def stepwise(layer: Layer, x: Tensor, errors: Tensor, *, static: bool = False) -> Tensor:
    """The weights' gradient, by one backward pass a step; these errors `[T, B, ...]` enter at the spikes."""
    layer.receives, layer.synapse.weight.grad = True, None
    drive = layer.drive(x) if static else None
    leaf = None if drive is None else drive.detach().requires_grad_()
    moment = Moment()
    for t, error in enumerate(errors):
        out, moment = layer.step(x if static else x[t], moment=moment, drive=leaf)
        out.backward(error)
        assert not any(part.requires_grad for part in (*moment.state[:2], moment.trace) if isinstance(part, Tensor))
    if drive is not None:
        drive.backward(leaf.grad)
    return layer.synapse.weight.grad


def through_time(layer: Layer, x: Tensor, errors: Tensor, *, static: bool = False) -> Tensor:
    """The same by autograd through the plain population."""
    current = layer.synapse(x if static else x.flatten(0, 1))
    out = layer.population(current if static else current.unflatten(0, x.shape[:2]), len(errors) if static else None)
    (found,) = torch.autograd.grad(out, layer.synapse.weight, errors)
    return found


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("neuron", ["lif", "if", "plif"])
@pytest.mark.parametrize("rule", PAIRS, ids=lambda each: each.name)
def test_a_layer_has_the_gradient_through_time_under_soft_detached_reset(
    rule: Pair, neuron: str, kind: str, T: int, static: bool
) -> None:
    bench = Bench(rule, kind, T, neuron=neuron, norm=False)
    x, errors = spikes(kind, T), errors_at_spikes(bench, T)
    x = 3 * x[0] if static else x
    expected = through_time(bench.layer, x, errors, static=static)
    torch.testing.assert_close(stepwise(bench.layer, x, errors, static=static), expected, rtol=1e-5, atol=1e-9)
    if rule.declaration.name == "ottt":  # and so where the network runs layer by layer
        (found,) = torch.autograd.grad(bench.layer(x, static=static), bench.layer.synapse.weight, errors)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("settings", [{"decay_input": False}, {"tau": 5.0, "threshold": 0.5}])
def test_it_is_so_whatever_the_membrane(settings: dict[str, float]) -> None:
    bench = Bench(pair("ottt"), T=5, norm=False, neuron_settings=settings)
    x, errors = spikes("dense", 5), errors_at_spikes(bench, 5)
    torch.testing.assert_close(stepwise(bench.layer, x, errors), through_time(bench.layer, x, errors))


def test_under_hard_reset_the_angle_is_what_the_documentation_says() -> None:
    """The means over 10 layers of 8 neurons that fire at 0.2 a step, T = 8, are in the docstring of `rules.ottt`."""
    angles, differences = [], []
    for seed in range(10):
        bench = Bench(pair("ottt"), "linear", T=8, seed=seed, neuron_settings={"reset": "hard"}, norm=False)
        x, errors = 5 * spikes("linear", 8, seed), errors_at_spikes(bench, 8)
        found, exact = stepwise(bench.layer, x, errors), through_time(bench.layer, x, errors)
        angles.append(math.degrees(math.acos(float(F.cosine_similarity(found.flatten(), exact.flatten(), dim=0)))))
        differences.append(float((found - exact).norm() / exact.norm()))
    assert sum(angles) / 10 == pytest.approx(13.0, abs=0.5)
    assert sum(differences) / 10 == pytest.approx(0.29, abs=0.01)


@pytest.mark.parametrize("kind", ["linear", "strided", "grouped"])
@pytest.mark.parametrize("transport", [name for name in rules()["ottt"].transports if name != "none"])
def test_errors_go_down_at_their_own_step_by_the_feedback(transport: str, kind: str) -> None:
    bench = Bench(pair("ottt", transport), kind, 4, norm=False)
    layer, x, errors = bench.layer, spikes(kind, 4).requires_grad_(), errors_at_spikes(bench, 4)
    below, own = torch.autograd.grad(layer(x), (x, layer.synapse.weight), errors)
    torch.testing.assert_close(own, through_time(layer, x.detach(), errors))  # whatever goes down
    matrix = dense(layer.synapse, layer.transport.feedback(layer.synapse.weight.detach()), x.shape[2:], layer.shape)
    state = None
    for t, each in enumerate(x.detach()):
        _, state = layer.population.step(layer.synapse(each).detach(), state)
        slope = 1 / (1 + (torch.pi * state.u).square())
        at_current = (0.5 * slope * errors[t]).flatten(1)
        torch.testing.assert_close(below[t], (at_current @ matrix).view_as(x[t]))


def test_shortcuts_carry_the_error_of_their_own_step() -> None:
    bench = Bench(pair("ottt", "exact"), "linear", 3, norm=False)
    x, errors = spikes("linear", 3), errors_at_spikes(bench, 3)
    across = torch.rand(3, BATCH, 8, dtype=torch.float64, requires_grad=True)
    still = torch.rand(BATCH, 8, dtype=torch.float64)
    out = bench.layer(x, across, still)
    (found,) = torch.autograd.grad(out, across, errors)
    current = torch.stack([bench.layer.synapse(each) for each in x]) + across + still
    torch.testing.assert_close(out, bench.layer.population(current))
    state = None
    for t in range(3):
        _, state = bench.layer.population.step(current[t].detach(), state)
        torch.testing.assert_close(found[t], 0.5 / (1 + (torch.pi * state.u).square()) * errors[t])


@pytest.mark.parametrize("rule", ["ottt", "eprop"])
def test_each_step_is_normed_by_its_own_statistics(rule: str) -> None:
    bench = Bench(pair(rule), "dense", 3)
    layer, x = bench.layer, spikes("dense", 3)
    x[1] *= 3.0
    layer.receives = True
    with torch.no_grad():
        current = torch.stack([layer.synapse(each) for each in x])
    normed = torch.stack([F.batch_norm(each, None, None, training=True, eps=layer.norm.eps) for each in current])
    moment, out = Moment(), []
    for each in x:
        spike, moment = layer.step(each, moment=moment)
        out.append(spike)
    assert torch.equal(torch.stack(out), layer.population(normed))
    # T steps move the running statistics as far as one batch does
    left = 0.9 ** (1 / 3)
    means = current.mean((1, 3, 4))
    expected = sum((1 - left) * left ** (2 - t) * means[t] for t in range(3))
    torch.testing.assert_close(layer.norm.running_mean, expected)


def test_eprop_enters_the_broadcast_error_of_the_step() -> None:
    """Step by step with the errors of `Signals.errors` it writes what it writes for all steps at once."""
    bench = Bench(pair("eprop"), "strided", 4, norm=False)
    layer, x = bench.layer, spikes("strided", 4)
    currents = torch.randn(4, BATCH, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    sent = Signals.of(currents, labels())
    layer(x)
    layer.rule.update(layer, sent)
    expected, layer.synapse.weight.grad, moment = layer.synapse.weight.grad, None, Moment()
    for t, error in enumerate(sent.errors()):
        out, moment = layer.step(x[t], moment=moment)
        assert not out.requires_grad
        for root, gradient in layer.rule.step(layer, error):
            root.backward(gradient)
    torch.testing.assert_close(layer.synapse.weight.grad, expected)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("kind", ["linear", "dense"])
def test_eprop_trains_its_norm_by_the_gradient_through_time(kind: str, T: int, static: bool) -> None:
    """Step by step; autograd's norm has each step's own statistics, and static currents have one for all."""
    bench = Bench(pair("eprop"), kind, T)
    layer, x, errors = bench.layer, spikes(kind, T), errors_at_spikes(bench, T)
    x = x[0] + torch.rand_like(x[0]) if static else x
    with torch.no_grad():
        layer.norm.weight.uniform_(0.5, 1.5)
        layer.norm.bias.uniform_(-0.5, 0.5)
    learned = (layer.synapse.weight, layer.norm.weight, layer.norm.bias)
    normed = [
        F.batch_norm(layer.synapse(each), None, None, layer.norm.weight, layer.norm.bias, True, 0.1, layer.norm.eps)
        for each in (x.unsqueeze(0) if static else x)
    ]
    out = layer.population(normed[0] if static else torch.stack(normed), T if static else None)
    weight, scale, shift = torch.autograd.grad(out, learned, errors)
    found = stepwise(layer, x, errors, static=static)
    assert scale.abs().max() > 1e-3
    if static or T == 1:  # else the backward step of each step's norm comes between error and trace
        torch.testing.assert_close(found, weight)
    torch.testing.assert_close(layer.norm.weight.grad, scale)
    torch.testing.assert_close(layer.norm.bias.grad, shift)


def test_what_learns_online_is_declared_and_adaptive_eprop_does_not() -> None:
    for declaration in rules().values():
        bench = Bench(Pair(declaration, declaration.transports[0]), "linear")
        assert bench.layer.rule.online(bench.layer) == declaration.online
        assert not bench.layer.rule.traced or declaration.online
    adaptive = Bench(pair("eprop"), neuron="alif").layer
    assert not adaptive.rule.online(adaptive)


@pytest.mark.parametrize("name", ["poisson", "latency"])
def test_codes_come_step_by_step_as_they_come_at_once(name: str) -> None:
    images = torch.rand(3, 2, 8, 8)
    code = encodings.build(name, steps=5)
    torch.manual_seed(1)
    at_once = code(images)
    torch.manual_seed(1)
    assert torch.equal(torch.stack(list(code.frames(images))), at_once)
