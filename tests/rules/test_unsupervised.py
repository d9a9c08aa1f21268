"""stdp and softhebb against their definitions, and against what they are for: diverse filters."""

from __future__ import annotations

import math

import pytest
import torch
from spikingjelly.activation_based import learning, neuron
from torch import Tensor, nn

from rules.layer import Record
from rules.registry import pair
from rules.rule import Signals
from rules.softhebb import soft_change
from rules.stdp import pair_sum, window
from rules.synapse import correlate
from tests.contracts.bench import BATCH, CLASSES, SYNAPSES, Bench, spikes, synapse
from tests.rules.brute import correlation, spike_pairs

TAU, PLUS, MINUS = 3.0, 1.0, 0.4
NOTHING = Signals.silent(BATCH, CLASSES, torch.zeros(1))


def record(kind: str, T: int, static: bool = False) -> tuple[nn.Module, Record, Tensor]:
    made = synapse(kind)
    pre = spikes(kind, T)
    if static:
        pre = torch.randn_like(pre[0])
    shape = made(pre if static else pre[0]).shape
    post = (torch.rand(T, *shape) < 0.3).double()
    current = torch.randn(shape if static else post.shape).double()
    return made, Record(pre, post, current, current), (torch.rand(shape) < 0.5).double()


def pair_weights(T: int) -> dict[int, float]:
    decay = 1 - 1 / TAU
    return {gap: PLUS * decay**gap if gap >= 0 else -MINUS * decay**-gap for gap in range(1 - T, T)}


@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("kind", SYNAPSES)
def test_stdp_is_the_sum_over_spike_pairs(kind: str, T: int) -> None:
    torch.manual_seed(0)
    made, held, gate = record(kind, T)
    found = pair_sum(made, held, gate, tau=TAU, plus=PLUS, minus=MINUS)
    # centring takes away what each pre-synaptic channel's mean trace would have done
    traces = torch.einsum("ts,s...->t...", window(T, TAU, PLUS, MINUS), held.input)
    mean = traces.mean([d for d in range(traces.dim()) if d != 2], keepdim=True).expand_as(traces)
    shapes = tuple(held.input.shape[2:]), tuple(held.output.shape[2:])
    pairs = spike_pairs(held.input, held.output * gate, pair_weights(T))
    at_mean = spike_pairs(mean, held.output * gate, {gap: float(gap == 0) for gap in range(1 - T, T)})
    expected = correlation(made, pairs, *shapes) - correlation(made, at_mean, *shapes)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", SYNAPSES)
def test_a_static_input_is_one_that_was_always_there(kind: str) -> None:
    torch.manual_seed(0)
    made, held, gate = record(kind, 3, static=True)
    found = pair_sum(made, held, gate, tau=TAU, plus=PLUS, minus=MINUS)
    long = 120  # steps before and after, in the place of for ever
    decay = 1 - 1 / TAU
    trace = sum(PLUS * decay**k for k in range(long)) - sum(MINUS * decay**k for k in range(1, long))
    pre = held.input - held.input.mean([d for d in range(held.input.dim()) if d != 1], keepdim=True)
    products = trace * (held.output.sum(0) * gate).flatten(1).T @ pre.flatten(1)
    torch.testing.assert_close(
        found, correlation(made, products, tuple(held.input.shape[1:]), tuple(held.output.shape[2:]))
    )


@pytest.mark.parametrize("kind", ["linear", "dense", "strided"])
def test_stdp_is_spikingjellys_where_that_supports_the_layer(kind: str) -> None:
    torch.manual_seed(0)
    made, held, _ = record(kind, 5)
    node = neuron.IFNode(step_mode="m")
    learner = learning.STDPLearner("m", made, node, TAU, TAU, torch.ones_like, torch.ones_like)
    learner.in_spike_monitor.records.append(held.input)
    learner.out_spike_monitor.records.append(held.output)
    made.weight.grad = None
    theirs = learner.step(on_grad=False)
    # they count simultaneous spikes on both sides; we say so here, by the diagonal
    both = window(5, TAU, 1.0, 1.0) - torch.eye(5, dtype=torch.float64)
    pre = torch.einsum("ts,s...->t...", both, held.input)
    torch.testing.assert_close(correlate(made, pre.flatten(0, 1), held.output.flatten(0, 1)), theirs)


def test_multiplicative_stdp_is_bounded_on_both_sides() -> None:
    bench = Bench(pair("stdp"), settings={"form": "multiplicative"})
    made, held, gate = record("dense", 4)
    weight = made.weight.detach()
    settings = {"tau": float(bench.layer.rule.settings["tau"])}
    minus = float(bench.layer.rule.settings["a_minus"])
    up = pair_sum(made, held, gate, plus=1.0, minus=0.0, **settings)
    down = pair_sum(made, held, gate, plus=0.0, minus=minus, **settings)
    torch.testing.assert_close(bench.layer.rule.change(made, held, gate), (1 - weight) * up + (1 + weight) * down)
    additive = Bench(pair("stdp")).layer.rule.change(made, held, gate)
    torch.testing.assert_close(additive, up + down)


@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("name", ["stdp", "softhebb"])
def test_the_step_depends_on_neither_batch_nor_image(name: str, kind: str) -> None:
    found = []
    for copies in (1, 3):
        bench = Bench(pair(name), kind)
        bench.layer(spikes(kind, 4).repeat(1, copies, *[1] * (1 if kind == "linear" else 3)))
        bench.layer.rule.update(bench.layer, NOTHING)
        found.append(bench.weight.grad)
    torch.testing.assert_close(*found)


def test_a_neuron_turns_by_the_learning_rate() -> None:
    bench = Bench(pair("stdp"))
    bench.layer(spikes("dense", 4))
    bench.layer.rule.update(bench.layer, NOTHING)
    assert bench.weight.grad is not None
    norms = bench.weight.grad.flatten(1).norm(dim=1)
    assert ((norms - 1).abs() < 1e-9).logical_or(norms == 0).all()


@pytest.mark.parametrize("name", ["stdp", "softhebb"])
def test_weights_keep_norm_1(name: str) -> None:
    bench = Bench(pair(name))
    bench.learn(3)
    torch.testing.assert_close(bench.weight.flatten(1).norm(dim=1), torch.ones(6).double())


def test_who_wins_too_often_is_handicapped_until_all_win_alike() -> None:
    bench = Bench(pair("stdp"), settings={"conscience": 0.1})
    rule = bench.layer.rule
    torch.manual_seed(0)
    current = torch.randn(64, 6, 4, 4).double() + torch.arange(6).view(-1, 1, 1)  # the last would always win
    held = Record(current, current.unsqueeze(0), current, current)
    first = rule.compete(held).mean((0, 2, 3))
    for _ in range(400):
        last = rule.compete(held).mean((0, 2, 3))
    assert first.max() > 0.6
    assert (last - 1 / 6).abs().max() < 0.05


@pytest.mark.parametrize(("name", "purest"), [("stdp", 0.8), ("softhebb", 0.65)])
def test_decorrelation_finds_the_sources_that_correlation_hides(name: str, purest: float) -> None:
    """Sparse sources, mixed: filters must become the rows that unmix them, whatever covariance the mixing made."""
    torch.manual_seed(0)
    mixing = torch.randn(10, 10).double()
    batches = [(torch.randn(200, 10).double() * (torch.rand(200, 10) < 0.15)) @ mixing.T for _ in range(60)]
    bench = Bench(pair(name), "linear", settings={"decorrelate": 1e-3})
    layer = bench.layer
    layer.rule.prepare(layer, iter(batches))
    for x in batches * 2:
        layer(x, static=True)
        layer.rule.update(layer, NOTHING)
        bench.step()
    seen = bench.weight.detach() @ mixing  # each neuron's weights on the sources
    purity = seen.abs().amax(1) / seen.norm(dim=1)
    assert purity.median() > purest  # by chance 0.55
    spectrum = torch.linalg.svdvals(seen / seen.norm(dim=1, keepdim=True))
    share = spectrum / spectrum.sum()
    assert math.exp(float(-(share * share.log()).sum())) > 0.5 * len(seen)


def test_softhebb_is_the_published_update_on_one_patch() -> None:
    torch.manual_seed(0)
    made = nn.Linear(5, 4, bias=False).double()
    x = torch.rand(1, 5).double()
    u = (made.weight @ x[0]).detach()
    y = torch.softmax(u / 0.5, 0)
    expected = torch.zeros(4, 5).double()
    for k in range(4):
        z = y[k] if k == u.argmax() else -y[k]
        for i in range(5):
            expected[k, i] = z * (x[0, i] - u[k] * made.weight[k, i].detach())
    z = torch.where(torch.arange(4) == u.argmax(), y, -y)
    with torch.no_grad():
        torch.testing.assert_close(soft_change(made, x, z.unsqueeze(0)), expected)


@pytest.mark.parametrize("kind", SYNAPSES)
def test_softhebb_sums_the_published_update_over_patches(kind: str) -> None:
    torch.manual_seed(0)
    made, x = synapse(kind), spikes(kind, 1)[0]
    with torch.no_grad():
        u = made(x)
        z = torch.randn_like(u)
        found = soft_change(made, x, z)
    shapes = tuple(x.shape[1:]), tuple(u.shape[1:])
    hebb = correlation(made, z.flatten(1).T @ x.flatten(1), *shapes)
    forgotten = (z * u).flatten(2).sum((0, 2)) if u.dim() > 2 else (z * u).sum(0)
    weight = made.weight.detach()
    torch.testing.assert_close(found, hebb - forgotten.view(-1, *[1] * (weight.dim() - 1)) * weight)
