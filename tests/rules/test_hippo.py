"""hippo against an explicit Euler integration of Milstein's equation, patch by patch, and its plateaus by loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rules import hippo
from rules.hippo import Hippo, live
from rules.layer import Record
from rules.registry import pair
from rules.synapse import Synapse
from tests.contracts.bench import BATCH, CLASSES, SYNAPSES, Bench, labels, spikes, told

Array = NDArray[np.float64]

# The authors' network model, as their configuration writes it: half widths, ms, 1/s.
POT = {"k": 1.109682, "th": 4.150117e-01, "half": 4.541096e-01}
DEP = {"k": 4.249387e-01, "th": 2.618154e-02, "half": 9.977173e-02}
ET_DECAY, IS_DECAY, PEAK = 1.664103e03, 4.370065e02, 3.680311 + 1.0


def gain(z: Array, k: float, th: float, half: float) -> Array:
    def s(x: Array | float) -> Array:
        return np.asarray(1.0 / (1.0 + np.exp(-2.0 / half * (np.asarray(x) - th))))

    return k * (s(z) - s(0.0)) / (s(1.0) - s(0.0))


def euler(
    W: Array, ET: Array, IS: Array, inputs: list[Array], plateau: Array, ms: float, dt: float = 1.0
) -> tuple[Array, Array, Array]:
    """One sample, `dt` ms at a time. ET is `[B, C, F]` and IS `[B, C]`: copies of one W `[C, F]`."""
    for x in inputs:
        for _ in range(round(ms / dt)):
            z = ET * IS[:, :, None]
            W = W + ((PEAK - W) * gain(z, **POT).mean(0) - W * gain(z, **DEP).mean(0)) * dt / 1000.0
            ET = ET + (x - ET) * dt / ET_DECAY
            IS = IS + (plateau - IS) * dt / IS_DECAY
    return W, ET, IS


def patches(synapse: Synapse, x: Tensor, place: list[list[int]]) -> Array:
    """`[B, C, F]` by loops: what the synapses of each neuron see of `x` `[B, ...]`; nothing beyond the border."""
    if isinstance(synapse, nn.Linear):
        return np.stack([[sample.numpy()] * synapse.out_features for sample in x])
    outs, fan, high, wide = synapse.weight.shape
    assert not isinstance(synapse.padding, str)
    (stride, _), (dilation, _), (pad, _) = synapse.stride, synapse.dilation, synapse.padding
    columns = synapse(x).shape[3]
    found = np.zeros((len(x), outs, fan, high, wide))
    for b, o, i, r, c in np.ndindex(found.shape):
        row = place[b][o] // columns * stride - pad + r * dilation
        column = place[b][o] % columns * stride - pad + c * dilation
        if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
            found[b, o, i, r, c] = x[b, o // (outs // synapse.groups) * fan + i, row, column]
    return found.reshape(len(x), outs, -1)


def looks(record: Record) -> tuple[list[list[int]], list[list[bool]]]:
    """For each sample and neuron, by loops: where it wins with the largest current, and whether it wins at all."""
    current = record.mean_current.reshape(*record.mean_current.shape[:2], -1).tolist()
    place, wins = [], []
    for sample in current:
        won = [[p for p in range(len(sample[0])) if own[p] == max(other[p] for other in sample)] for own in sample]
        place.append([max(mine, key=own.__getitem__, default=0) for own, mine in zip(sample, won, strict=True)])
        wins.append([bool(mine) for mine in won])
    return place, wins


# -- the equation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copies", [1, 4])
def test_it_is_milsteins_equation_and_goes_on_from_sample_to_sample(copies: int) -> None:
    rng = np.random.default_rng(0)
    W, ET, IS = rng.uniform(0, PEAK, (3, 7)), np.zeros((copies, 3, 7)), np.zeros((copies, 3))
    state = torch.tensor(W), torch.tensor(ET[0]), torch.tensor(IS[0])
    for _ in range(4):
        inputs = [rng.random((copies, 3, 7)) for _ in range(3)]
        plateau = (rng.random((copies, 3)) < 0.5).astype(float)
        state = live(state, map(torch.tensor, inputs), torch.tensor(plateau), 700.0)
        W, ET, IS = euler(W, ET, IS, inputs, plateau, 700.0)
        ET[:], IS[:] = ET.mean(0), IS.mean(0)  # the next batch is another one's, and begins where this one ended
        for found, expected in zip(state, (W, ET[0], IS[0]), strict=True):
            np.testing.assert_allclose(found.numpy(), expected, atol=2e-3 * PEAK)


def test_the_finer_the_nearer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    W, inputs, plateau = rng.uniform(0, PEAK, (2, 9)), [rng.random((1, 2, 9)) for _ in range(2)], np.ones((1, 2))
    exact, *_ = euler(W, np.zeros((1, 2, 9)), np.zeros((1, 2)), inputs, plateau, 1000.0, dt=0.2)
    errors = []
    for resolution in (200.0, 50.0):
        monkeypatch.setattr(hippo, "RESOLUTION", resolution)
        start = torch.tensor(W), torch.zeros(2, 9).double(), torch.zeros(2).double()
        found, *_ = live(start, map(torch.tensor, inputs), torch.tensor(plateau), 1000.0)
        errors.append(np.abs(found.numpy() - exact).max())
    assert errors[1] < 2e-4 * PEAK
    assert errors[1] < errors[0] / 8  # of second order


def test_weak_synapses_grow_and_strong_ones_shrink() -> None:
    W = torch.tensor([[1.0, 4.5]]).double()
    zero = torch.zeros(1, 2).double(), torch.zeros(1).double()
    after, *_ = live((W, *zero), [torch.full((1, 1, 2), 0.7).double()] * 4, torch.ones(1, 1).double(), 500.0)
    assert after[0, 0] > 1.2
    assert after[0, 1] < 4.3


def test_input_and_plateau_may_come_apart_in_either_order_but_input_first_is_better() -> None:
    x, nothing = torch.tensor([[[1.0, 0.0]]]).double(), torch.zeros(1, 1, 2).double()
    grown = {}
    for turns in (("input", "plateau"), ("plateau", "input")):
        state = torch.full((1, 2), 0.5).double(), torch.zeros(1, 2).double(), torch.zeros(1).double()
        for turn in turns:
            plateau = torch.full((1, 1), float(turn == "plateau")).double()
            state = live(state, [x if turn == "input" else nothing], plateau, 1000.0)
        grown[turns[0]], idle = (state[0][0] - 0.5).tolist()
        assert idle == pytest.approx(0.0)  # a synapse without input
    assert grown["input"] > 3 * grown["plateau"] > 0.1


# -- as a layer's rule ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 3])
@pytest.mark.parametrize("kind", SYNAPSES)
def test_each_synapse_lives_through_what_its_neuron_looks_at(
    kind: str, T: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hippo, "RESOLUTION", 15.0)
    ms = 150.0
    bench = Bench(pair("hippo"), kind, T, settings={"ms": ms, "conscience": 0.0})
    layer, rule = bench.layer, bench.layer.rule
    assert isinstance(rule, Hippo)
    W = rule.efficacy.flatten(1).numpy().copy()
    ET, IS = np.zeros((BATCH, *W.shape)), np.zeros((BATCH, len(W)))
    for number in range(2):
        layer(spikes(kind, T, seed=number))
        record = layer.record
        assert record is not None
        place, wins = looks(record)
        plateau = np.array(
            [[wins[b][c] and c % CLASSES == labels()[b] for c in range(len(W))] for b in range(BATCH)], dtype=float
        )
        rate = record.input.mean(0)
        x = record.input / (rate.mean() + 2 * rate.std())
        W, ET, IS = euler(W, ET, IS, [patches(layer.synapse, step, place) for step in x], plateau, ms)
        ET[:], IS[:] = ET.mean(0), IS.mean(0)
        rule.update(layer, told(labels()))
        bench.step()
    assert IS.max() > 0
    np.testing.assert_allclose(rule.efficacy.flatten(1).numpy(), W, atol=3e-4)
    np.testing.assert_allclose(rule.eligibility.flatten(1).numpy(), ET[0], atol=3e-4)
    np.testing.assert_allclose(rule.instruction.numpy(), IS[0], atol=3e-4)


@pytest.mark.parametrize("kind", SYNAPSES)
def test_a_static_current_counts_from_two_deviations_below_its_mean_to_two_above(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hippo, "RESOLUTION", 15.0)
    bench = Bench(pair("hippo"), kind, settings={"ms": 150.0, "conscience": 0.0})
    layer, rule = bench.layer, bench.layer.rule
    assert isinstance(rule, Hippo)
    W = rule.efficacy.flatten(1).numpy().copy()
    x = torch.randn_like(spikes(kind, 1)[0]) + 0.5
    layer(x, static=True)
    assert layer.record is not None
    place, wins = looks(layer.record)
    plateau = np.array([[wins[b][c] and c % CLASSES == labels()[b] for c in range(len(W))] for b in range(BATCH)])
    rate = ((x - x.mean()) / (4 * x.std()) + 0.5).clamp(0, 1)
    start = np.zeros((BATCH, *W.shape)), np.zeros((BATCH, len(W)))
    W, *_ = euler(W, *start, [patches(layer.synapse, rate, place)] * 4, plateau.astype(float), 150.0)
    rule.update(layer, told(labels()))
    np.testing.assert_allclose(rule.efficacy.flatten(1).numpy(), W, atol=3e-4)


@pytest.mark.parametrize("kind", ["linear", "dense", "grouped", "depthwise"])
def test_weights_are_the_efficacies_less_inhibition_with_norm_1(kind: str) -> None:
    bench = Bench(pair("hippo"), kind, settings={"decorrelate": 0.0})
    bench.layer(spikes(kind, 4))
    bench.layer.rule.update(bench.layer, told(labels()))
    assert isinstance(bench.layer.rule, Hippo)
    assert bench.weight.grad is not None
    W = bench.layer.rule.efficacy
    groups = getattr(bench.layer.synapse, "groups", 1)
    expected = torch.empty_like(W)
    for o in range(len(W)):
        size = len(W) // groups
        fellows = W[o // size * size : (o // size + 1) * size]
        for i in range(W.shape[1]):
            expected[o, i] = W[o, i] - fellows[:, i].mean()
        expected[o] /= expected[o].norm()
    torch.testing.assert_close(bench.weight - bench.weight.grad, expected)


def test_plateaus_of_the_target_go_to_winners_of_its_class_and_of_reward_where_most_wins_are_right() -> None:
    target, reward = (Bench(pair("hippo"), settings={"plateau": name}).layer for name in ("target", "reward"))
    found = []
    for layer in (target, reward):
        layer(spikes("dense", 4))
        assert layer.record is not None
        assert isinstance(layer.rule, Hippo)
        found.append((layer.record, layer.rule.plateaus(layer.record, told(labels()))[1].tolist()))
    (record, by_target), (_, by_reward) = found
    _, wins = looks(record)
    current = record.mean_current.flatten(2)
    rights = 0
    for b in range(BATCH):
        label = int(labels()[b])
        counts = [0.0] * CLASSES
        for winner in current[b].argmax(0).tolist():
            counts[winner % CLASSES] += 1.0  # each class has as many neurons
        right = max(counts) == counts[label]
        rights += right
        for c in range(len(wins[b])):
            assert by_target[b][c] == (wins[b][c] and c % CLASSES == label)
            assert by_reward[b][c] == (by_target[b][c] and right)
    assert 0 < rights < BATCH


def test_novelty_is_what_drives_the_layer_less_and_needs_no_label() -> None:
    layer = Bench(pair("hippo"), settings={"plateau": "novelty"}).layer
    layer(spikes("dense", 4))
    assert layer.record is not None
    assert isinstance(layer.rule, Hippo)
    one, other = (layer.rule.plateaus(layer.record, told(batch))[1] for batch in (labels(0), labels(50)))
    assert torch.equal(one, other)
    _, wins = looks(layer.record)
    strength = [float(sample.amax(0).mean()) for sample in layer.record.mean_current]
    for b in range(BATCH):
        assert one[b].tolist() == [won and strength[b] <= sum(strength) / BATCH for won in wins[b]]


def test_a_step_lasts_as_many_milliseconds_as_it_is_said_to() -> None:
    found = []
    for ms, T in ((250.0, 4), (1000.0, 1)):
        bench = Bench(pair("hippo"), "linear", T, settings={"ms": ms})
        bench.layer(spikes("linear", 1)[0], static=True)
        bench.layer.rule.update(bench.layer, told(labels()))
        assert isinstance(bench.layer.rule, Hippo)
        found.append(bench.layer.rule.efficacy)
    torch.testing.assert_close(*found, atol=0.005, rtol=0.0)
    assert (found[0] - found[0].mean()).abs().max() > 0.2


def test_traces_outlive_the_sample_and_a_file(tmp_path: Path) -> None:
    bench = Bench(pair("hippo"))
    bench.learn(2)
    kept = {name: value.clone().contiguous() for name, value in bench.layer.state_dict().items()}
    save_file(kept, tmp_path / "layer.safetensors")
    straight = bench.learn(1, start=2)
    resumed, forgetful = Bench(pair("hippo"), seed=5), Bench(pair("hippo"), seed=5)
    for other in (resumed, forgetful):
        other.layer.load_state_dict(load_file(tmp_path / "layer.safetensors"))
    assert isinstance(forgetful.layer.rule, Hippo)
    for trace in (forgetful.layer.rule.eligibility, forgetful.layer.rule.instruction):
        assert trace.abs().sum() > 0
        trace.zero_()
    assert torch.equal(resumed.learn(1, start=2), straight)
    assert all(torch.equal(value, bench.layer.state_dict()[name]) for name, value in resumed.layer.state_dict().items())
    assert not torch.equal(forgetful.learn(1, start=2), straight)


def test_neurons_come_to_stand_for_their_own_class() -> None:
    """Three patterns, each of inputs that no other has: a neuron's synapses must be strong on those of its class."""
    torch.manual_seed(0)
    bench = Bench(pair("hippo"), "linear", settings={"decorrelate": 0.0})
    for _ in range(40):
        batch = torch.randint(CLASSES, (30,))
        rate = 0.1 + 0.6 * (torch.arange(10) // 3 == batch.unsqueeze(1))
        bench.layer((torch.rand(4, 30, 10) < rate).double())
        bench.layer.rule.update(bench.layer, told(batch))
        assert bench.weight.grad is not None
        bench.weight.data -= bench.weight.grad  # at the learning rate that the rule declares
        bench.layer.after_step(0.0)
    assert isinstance(bench.layer.rule, Hippo)
    W = bench.layer.rule.efficacy[:, :9].view(-1, 3, 3).mean(2)
    assert W.argmax(1).tolist() == [c % CLASSES for c in range(len(W))]
    own = W.amax(1)
    others = (W.sum(1) - own) / 2
    assert (own > others + 0.5).all()
