"""dfa, drtp and eprop against their formulas, and against the gradient through time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, one_hot

from rules.broadcast import DECAY, RATE
from rules.registry import pair
from rules.rule import Signals
from tests.contracts.bench import BATCH, CLASSES, SYNAPSES, Bench, labels, spikes
from tests.rules.brute import correlation

TAU = 2.0


def signals(T: int) -> Signals:
    currents = torch.randn(T, BATCH, CLASSES, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return Signals.of(currents, labels())


def formula(bench: Bench, x: Tensor, at_spikes: Tensor) -> Tensor:
    """dW of a soft-reset LIF layer with that error at its spikes, `[T, B, ...]`, all by hand."""
    with torch.no_grad():
        current = torch.stack([bench.layer.synapse(step) for step in x])
        v, slopes = torch.zeros_like(current[0]), []
        for each in current:
            h = v + (each - v) / TAU
            slopes.append(1 / (1 + (torch.pi * (h - 1)).square()))
            v = h - (h >= 1).double()
        later, products = torch.zeros_like(v), 0
        for t in reversed(range(len(x))):
            later = slopes[t] * at_spikes[t] + (1 - 1 / TAU) * later
            products = products + (later / TAU).flatten(1).T @ x[t].flatten(1)
    return correlation(bench.layer.synapse, products, tuple(x.shape[2:]), bench.layer.shape)


@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("name", ["dfa", "drtp"])
def test_the_signal_enters_at_the_spikes(name: str, kind: str, T: int) -> None:
    bench = Bench(pair(name), kind, T, norm=False)
    x, sent = spikes(kind, T), signals(T)
    bench.layer(x)
    for root, gradient in bench.layer.rule.update(bench.layer, sent):
        root.backward(gradient)
    error = sent.error if name == "dfa" else -one_hot(labels(), CLASSES).double() / BATCH
    at_spikes = (error @ bench.layer.rule.matrix).view(BATCH, *bench.layer.shape) / T
    torch.testing.assert_close(bench.weight.grad, formula(bench, x, at_spikes.expand(T, *at_spikes.shape)))


@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("name", ["dfa", "eprop"])
def test_shared_feedback_tells_a_channel_one_thing(name: str, kind: str) -> None:
    """It is random feedback whose matrix has the same column at every position of a channel."""
    found = []
    for feedback in ("shared", "random"):
        bench = Bench(pair(name), kind, 4, norm=False, settings={"feedback": feedback})
        rule = bench.layer.rule
        if feedback == "shared":
            assert rule.matrix.shape == (CLASSES, bench.layer.shape[0])
            matrix = rule.matrix
        else:
            rule.matrix = matrix.repeat_interleave(rule.matrix.shape[1] // matrix.shape[1], 1)
        bench.layer(spikes(kind, 4))
        for root, gradient in rule.update(bench.layer, signals(4)):
            root.backward(gradient)
        found.append(bench.weight.grad)
    assert found[0].abs().sum() > 0
    torch.testing.assert_close(*found)


def test_the_signals_error_is_the_losss_gradient() -> None:
    currents = torch.randn(4, BATCH, CLASSES, dtype=torch.float64, requires_grad=True)
    logits = currents.mean(0)
    logits.retain_grad()
    cross_entropy(logits, labels(), label_smoothing=0.1).backward()
    torch.testing.assert_close(Signals.of(currents, labels(), 0.1).error, logits.grad)


def test_the_last_errors_are_the_whole_error() -> None:
    sent = signals(4)
    torch.testing.assert_close(sent.errors()[-1] * 4, sent.error)
    first = (sent.currents[0].softmax(1) - one_hot(labels(), CLASSES)) / BATCH / 4
    torch.testing.assert_close(sent.errors()[0], first)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_where_each_step_has_a_loss_the_errors_are_that_ones_gradient(smoothing: float) -> None:
    currents = torch.randn(4, BATCH, CLASSES, dtype=torch.float64, requires_grad=True)
    each = [cross_entropy(current, labels(), label_smoothing=smoothing) for current in currents]
    torch.stack(each).mean().backward()
    sent = Signals.of(currents, labels(), smoothing, each_step=True)
    torch.testing.assert_close(sent.errors(), currents.grad)
    torch.testing.assert_close(sent.error, currents.grad.sum(0))
    assert not torch.allclose(sent.error, Signals.of(currents, labels(), smoothing).error, rtol=1e-2)


@pytest.mark.parametrize("each_step", [False, True])
def test_dfa_through_the_weights_of_the_readout_above_is_back_propagation(each_step: bool) -> None:
    bench = Bench(pair("dfa"), "dense", 4, neuron_settings={"threshold": 0.3})
    above = torch.randn(CLASSES, bench.layer.rule.matrix.shape[1], dtype=torch.float64)
    bench.layer.rule.matrix.copy_(above)
    bench.layer(spikes("dense", 4))
    out = bench.layer.record.output
    currents = out.flatten(2) @ above.T
    losses = [cross_entropy(current, labels()) for current in (currents if each_step else currents.mean(0, True))]
    (wanted,) = torch.autograd.grad(torch.stack(losses).mean(), bench.weight, retain_graph=True)
    ((root, gradient),) = bench.layer.rule.update(bench.layer, Signals.of(currents, labels(), each_step=each_step))
    (found,) = torch.autograd.grad(root, bench.weight, gradient)
    assert wanted.abs().max() > 1e-3
    torch.testing.assert_close(found, wanted)


def through_time(bench: Bench, x: Tensor, sent: Signals, *, static: bool) -> Tensor:
    """The layer's gradient by autograd, where e-prop's learning signal enters at its spikes."""
    layer = bench.layer
    weight = layer.synapse.weight
    current = layer.synapse(x if static else x.flatten(0, 1))
    current = current if static else current.unflatten(0, x.shape[:2])
    out = layer.population(current, bench.T if static else None)
    learning_signal = (sent.errors().flatten(0, 1) @ layer.rule.matrix).view_as(out)
    (found,) = torch.autograd.grad((out * learning_signal).sum(), weight)
    return found


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("neuron", ["lif", "if", "plif", "alif"])
def test_eprop_is_the_gradient_through_time_under_soft_reset(neuron: str, kind: str, static: bool) -> None:
    bench = Bench(pair("eprop"), kind, 5, neuron=neuron, norm=False)
    x, sent = spikes(kind, 5), signals(5)
    x = 3 * x[0] if static else x
    bench.layer(x, static=static)
    assert bench.layer.rule.update(bench.layer, sent) == []
    assert bench.weight.grad is not None
    torch.testing.assert_close(bench.weight.grad, through_time(bench, x, sent, static=static))


def test_eprop_under_hard_reset_points_the_gradients_way_but_is_not_it() -> None:
    bench = Bench(pair("eprop"), T=8, neuron_settings={"reset": "hard"}, norm=False)
    x, sent = 3 * spikes("dense", 8), signals(8)
    bench.layer(x)
    bench.layer.rule.update(bench.layer, sent)
    assert bench.weight.grad is not None
    cosine = cosine_similarity(bench.weight.grad.flatten(), through_time(bench, x, sent, static=False).flatten(), dim=0)
    assert 0.5 < float(cosine) < 0.999


@pytest.mark.parametrize("static", [False, True])
def test_eprop_goes_through_the_norm_as_the_gradient_does(static: bool) -> None:
    bench = Bench(pair("eprop"), T=5)
    layer, x, sent = bench.layer, spikes("dense", 5), signals(5)
    x = x[0] + torch.rand_like(x[0]) if static else x
    layer.norm.momentum = 1.0  # running statistics are the batch's, but for n / (n - 1)
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([1.0, -0.5, 2.0, 0.7, 0.005, 1.5]))
        layer.norm.bias.uniform_(-0.5, 0.5)
    layer(x, static=static)
    layer.rule.update(layer, sent)
    current = layer.norm(layer.synapse(x if static else x.flatten(0, 1)))
    out = layer.population(current if static else current.unflatten(0, x.shape[:2]), 5 if static else None)
    learning_signal = (sent.errors().flatten(0, 1) @ layer.rule.matrix).view_as(out)
    learned = (bench.weight, layer.norm.weight, layer.norm.bias)
    expected = torch.autograd.grad((out * learning_signal).sum(), learned)
    torch.testing.assert_close([each.grad for each in learned], list(expected), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("neuron", ["lif", "alif"])
def test_eprop_trains_norms_by_the_gradient_through_time(neuron: str) -> None:
    bench = Bench(pair("eprop"), T=5, neuron=neuron)
    layer, x, sent = bench.layer, spikes("dense", 5), signals(5)
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([1.0, -0.5, 2.0, 0.0, 1e-30, 1.5]))
        layer.norm.bias.uniform_(-0.2, 0.2)
    layer(x)
    layer.rule.update(layer, sent)
    unscaled = torch.nn.functional.batch_norm(
        layer.synapse(x.flatten(0, 1)).detach(), None, None, training=True, eps=layer.norm.eps
    )
    current = unscaled * layer.norm.weight.view(-1, 1, 1) + layer.norm.bias.view(-1, 1, 1)
    out = layer.population(current.unflatten(0, x.shape[:2]))
    learning_signal = (sent.errors().flatten(0, 1) @ layer.rule.matrix).view_as(out)
    scale, shift = torch.autograd.grad((out * learning_signal).sum(), (layer.norm.weight, layer.norm.bias))
    assert scale.abs().max() > 1e-3
    torch.testing.assert_close(layer.norm.bias.grad, shift)
    undone = layer.norm.weight.detach().abs() > 1e-12  # what a channel without a scale was cannot be told
    torch.testing.assert_close(layer.norm.weight.grad[undone], scale[undone])
    assert layer.norm.weight.grad.isfinite().all()


@pytest.mark.parametrize("each_step", [False, True])
@pytest.mark.parametrize("name", ["dfa", "eprop"])
def test_learned_feedback_gets_the_changes_of_a_readout_of_the_layer(name: str, each_step: bool) -> None:
    bench = Bench(pair(name), "dense", 4, settings={"feedback": "learned"})
    rule, x, sent = bench.layer.rule, spikes("dense", 4), replace(signals(4), each_step=each_step)
    before = rule.matrix.clone()
    bench.layer(x)
    rule.update(bench.layer, sent)
    assert torch.equal(rule.matrix, before), "it changes when the weights do"
    out = bench.layer.record.output.flatten(2)
    readout = torch.zeros_like(before, requires_grad=True)
    if name == "eprop" or each_step:  # the error of each step, as known then, with that step's spikes
        loss = (sent.errors() * (out @ readout.T)).sum()
    else:
        loss = (sent.error * (out.mean(0) @ readout.T)).sum()
    loss.backward()
    bench.layer.after_step(0.0)
    torch.testing.assert_close(rule.matrix, (1 - DECAY) * before - RATE * readout.grad)
    bench.layer.after_step(0.0)
    torch.testing.assert_close(rule.matrix, (1 - DECAY) * ((1 - DECAY) * before - RATE * readout.grad))


def test_learned_feedback_turns_towards_what_reads_the_layer() -> None:
    """Under a linear readout of the layer, B comes to say what the readout's transposed weights say."""
    torch.manual_seed(0)
    bench = Bench(pair("dfa"), "dense", 4, settings={"feedback": "learned"})
    rule, x = bench.layer.rule, spikes("dense", 4)
    readout = torch.zeros(CLASSES, rule.matrix.shape[1], dtype=torch.float64)
    for _ in range(200):
        bench.layer(x)
        out = bench.layer.record.output
        sent = Signals.of(out.flatten(2) @ readout.T, labels())
        rule.update(bench.layer, sent)
        readout -= RATE * sent.error.T @ out.mean(0).flatten(1)
        bench.layer.after_step(0.0)
    assert float(cosine_similarity(rule.matrix.flatten(), readout.flatten(), dim=0).detach()) > 0.9
