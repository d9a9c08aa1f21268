"""rstdp against a sum over spike pairs times reward, sample by sample and neuron by neuron."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rules.layer import Record
from rules.registry import pair
from rules.rstdp import RSTDP
from rules.stdp import window
from tests.contracts.bench import BATCH, CLASSES, SYNAPSES, Bench, labels, spikes, told
from tests.rules.brute import correlation, spike_pairs

TAU, MINUS, PUNISHMENT, HITS = 3.0, 0.4, 0.25, 0.3


def bench_of(kind: str, T: int = 4, **settings: float) -> Bench:
    """Neurons that fire easily."""
    return Bench(pair("rstdp"), kind, T, settings=settings, neuron_settings={"threshold": 0.2})


def decisions(record: Record) -> tuple[Tensor, Tensor]:
    """`[B, C, ...]` by loops: where a neuron wins, and whether what it stands for is right."""
    won = torch.zeros_like(record.mean_current)
    right = torch.zeros_like(won)
    flat = record.mean_current.reshape(*won.shape[:2], -1)
    for b in range(flat.shape[0]):
        for c in range(flat.shape[1]):
            right[b, c] = float(c % CLASSES == labels()[b])
            for p in range(flat.shape[2]):
                best = max(float(flat[b, other, p]) for other in range(flat.shape[1]))
                won.view(flat.shape)[b, c, p] = float(flat[b, c, p] == best)
    return won, right


@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("kind", SYNAPSES)
def test_rstdp_is_the_sum_over_spike_pairs_times_reward(kind: str, T: int) -> None:
    settings = {"tau": TAU, "a_minus": MINUS, "punishment": PUNISHMENT}
    bench = bench_of(kind, T, **settings, conscience=0.0, decorrelate=0.0)
    rule = bench.layer.rule
    assert isinstance(rule, RSTDP)
    rule.hits.fill_(HITS)
    bench.layer(spikes(kind, T))
    record = bench.layer.record
    assert record is not None
    rule.update(bench.layer, told(labels()))
    won, right = decisions(record)
    reward = won * (right * (1 - HITS) - (1 - right) * PUNISHMENT * HITS)
    decay = 1 - 1 / TAU
    weights = {gap: decay**gap if gap >= 0 else -MINUS * decay**-gap for gap in range(1 - T, T)}
    # centring takes away what each pre-synaptic channel's mean trace would have done
    traces = torch.einsum("ts,s...->t...", window(T, TAU, 1.0, MINUS), record.input)
    mean = traces.mean([d for d in range(traces.dim()) if d != 2], keepdim=True).expand_as(traces)
    together = {gap: float(gap == 0) for gap in range(1 - T, T)}
    products = torch.zeros(won[0].numel(), record.input[0, 0].numel()).double()
    for b in range(BATCH):
        pre, at_mean, post = record.input[:, b : b + 1], mean[:, b : b + 1], record.output[:, b : b + 1]
        pairs = spike_pairs(pre, post, weights) - spike_pairs(at_mean, post, together)
        products = products + reward[b].flatten().unsqueeze(1) * pairs
    found = correlation(bench.layer.synapse, products, tuple(record.input.shape[2:]), tuple(record.output.shape[2:]))
    norm = found.flatten(1).norm(dim=1).view(-1, *[1] * (found.dim() - 1))
    assert (norm > 0).sum() > 1
    torch.testing.assert_close(bench.weight.grad, -found / norm.clamp_min(1e-300))


@pytest.mark.parametrize("kind", ["linear", "strided"])
def test_the_next_batch_knows_how_many_decisions_were_right(kind: str) -> None:
    bench = bench_of(kind, conscience=0.0)
    assert isinstance(bench.layer.rule, RSTDP)
    assert float(bench.layer.rule.hits) == pytest.approx(1 / CLASSES)
    bench.layer(spikes(kind, 4))
    assert bench.layer.record is not None
    won, right = decisions(bench.layer.record)
    bench.layer.rule.update(bench.layer, told(labels()))
    assert float(bench.layer.rule.hits) == pytest.approx(float((won * right).sum() / won.sum()))


def test_a_punished_neuron_turns_the_other_way() -> None:
    found = []
    for label in (0, 1):
        bench = bench_of("dense")
        bench.layer(spikes("dense", 4))
        bench.layer.rule.update(bench.layer, told(torch.full((BATCH,), label)))
        found.append(bench.weight.grad)
    rewarded, punished = found
    assert rewarded is not None
    assert punished is not None
    stands_for = torch.arange(len(rewarded)) % CLASSES
    assert rewarded[stands_for == 0].norm() > 0
    torch.testing.assert_close(punished[stands_for == 0], -rewarded[stands_for == 0])
    torch.testing.assert_close(punished[stands_for == 1], -rewarded[stands_for == 1])
    torch.testing.assert_close(punished[stands_for == 2], rewarded[stands_for == 2])


@pytest.mark.parametrize(("hits", "silent"), [(1.0, 0), (0.0, 1)])
def test_who_is_always_right_learns_from_punishment_alone_and_who_never_is_from_reward(
    hits: float, silent: int
) -> None:
    bench = bench_of("dense")
    assert isinstance(bench.layer.rule, RSTDP)
    bench.layer.rule.hits.fill_(hits)
    bench.layer(spikes("dense", 4))
    bench.layer.rule.update(bench.layer, told(torch.full((BATCH,), 0)))
    assert bench.weight.grad is not None
    right = torch.arange(len(bench.weight)) % CLASSES == 0
    still, moved = (right, ~right) if silent == 0 else (~right, right)
    assert bench.weight.grad[still].abs().sum() == 0
    assert bench.weight.grad[moved].abs().sum() > 0


def test_neurons_come_to_win_for_their_own_class() -> None:
    """Three patterns, each of inputs that no other has: far more decisions must be right than by chance."""
    torch.manual_seed(1)
    bench = bench_of("linear", decorrelate=0.0, conscience=0.0)
    for _ in range(40):
        batch = torch.randint(CLASSES, (30,))
        rate = 0.1 + 0.6 * (torch.arange(10) // 3 == batch.unsqueeze(1))
        bench.layer((torch.rand(4, 30, 10) < rate).double())
        bench.layer.rule.update(bench.layer, told(batch))
        bench.step()
    assert isinstance(bench.layer.rule, RSTDP)
    assert float(bench.layer.rule.hits) > 0.8
