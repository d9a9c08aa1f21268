"""The similarity loss against its equation, one pair of samples after the other, and that it looks at nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from rules.local import LocalLoss
from rules.predsim import correlation, summary
from rules.registry import pair
from rules.rule import Signals
from tests.contracts.bench import CLASSES, Bench, labels, spikes


def by_pairs(rates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The mean over all pairs, as written: from scalars."""

    def pearson(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        a, b = a - a.mean(), b - b.mean()
        if not (a.any() and b.any()):
            return 0.0 * a.sum()  # a sample of equal rates is like none, whatever it does
        return (a * b).sum() / (a.square().sum() * b.square().sum()).sqrt()

    count = len(rates)
    apart = [
        (pearson(rates[i], rates[j]) - pearson(target[i], target[j])).square()
        for i in range(count)
        for j in range(count)
    ]
    return torch.stack(apart).mean()


def deviations(rates: torch.Tensor, windows: list[tuple[slice, slice]]) -> torch.Tensor:
    return torch.stack([rates[:, :, i, j].std((2, 3), correction=0) for i, j in windows], 2).flatten(1)


@pytest.mark.parametrize("kind", ["dense", "linear"])
def test_the_loss_is_its_equation(kind: str) -> None:
    bench = Bench(pair("predsim"), kind, settings={"similarity": 0.99})
    layer = bench.layer
    layer(spikes(kind, 4))
    rates = layer.record.output.mean(0)
    if kind == "dense":
        halves = slice(0, 3), slice(3, 6)
        rates = deviations(rates, [(i, j) for i in halves for j in halves])
    mixed = torch.rand(len(rates), CLASSES, dtype=torch.float64).softmax(1)
    for told in (labels(), mixed):
        target = torch.nn.functional.one_hot(told, CLASSES).double() if told.dim() == 1 else told
        signals = Signals.of(torch.zeros(4, len(rates), CLASSES, dtype=torch.float64), told, label_smoothing=0.1)
        ((loss, _),) = layer.rule.update(layer, signals)
        ((prediction, _),) = LocalLoss.update(layer.rule, layer, signals)
        wanted = 0.01 * prediction + 0.99 * by_pairs(rates, target)
        torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-6)
        own = layer.synapse.weight
        found, expected = (torch.autograd.grad(each, own, retain_graph=True)[0] for each in (loss, wanted))
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(
    ("sides", "windows"),
    [
        ((3, 3), [(slice(0, 3), slice(0, 3))]),
        ((2, 2), [(slice(0, 2), slice(0, 2))]),
        ((2, 8), [(slice(0, 2), slice(0, 8))]),
        ((4, 6), [(slice(i, i + 2), slice(j, j + 3)) for i in (0, 2) for j in (0, 3)]),
    ],
)
def test_windows_hold_at_least_two_by_two(sides: tuple[int, int], windows: list[tuple[slice, slice]]) -> None:
    rates = torch.rand(5, 3, *sides, dtype=torch.float64)
    torch.testing.assert_close(summary(rates), deviations(rates, windows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(7,), (7, 1, 1), (7, 1, 9)])
def test_what_has_no_window_is_compared_as_it_is(shape: tuple[int, ...]) -> None:
    rates = torch.rand(5, *shape)
    assert torch.equal(summary(rates), rates.flatten(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_constant_rates_have_no_deviation_and_are_like_none(dtype: torch.dtype) -> None:
    """Rates of k / 5 and more than one channel: rounding must not look like a pattern."""
    rates = (
        (torch.arange(1, 5)[:, None] / torch.tensor([5.0, 10.0, 6.0])).to(dtype)[:, :, None, None].expand(4, 3, 32, 32)
    )
    found = summary(rates)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.full_like(found, 1e-4), rtol=1e-3, atol=0.0)
    assert not correlation(found).any()


def test_the_share_weighs_the_two_losses() -> None:
    losses = {}
    for share in (0.01, 0.25, 0.99):
        layer = Bench(pair("predsim"), settings={"similarity": share}).layer
        layer(spikes("dense", 4))
        signals = Signals.of(torch.zeros(4, 6, CLASSES, dtype=torch.float64), labels())
        losses[share] = float(layer.rule.update(layer, signals)[0][0].detach())
    assert math.isclose(losses[0.25], (0.74 * losses[0.01] + 0.24 * losses[0.99]) / 0.98, rel_tol=1e-6)
    assert abs(losses[0.01] - losses[0.99]) > 0.1


def test_silent_channels_and_single_samples_are_no_nan() -> None:
    bench = Bench(pair("predsim"))
    for x in (torch.zeros_like(spikes("dense", 4)), spikes("dense", 4)[:, :1]):
        bench.layer.zero_grad()
        bench.layer(x)
        signals = Signals.of(torch.zeros(4, x.shape[1], CLASSES, dtype=torch.float64), labels()[: x.shape[1]])
        bench.layer.rule.update(bench.layer, signals)[0][0].backward()
        assert bench.layer.synapse.weight.grad.isfinite().all()


def test_it_draws_a_class_together() -> None:
    """After some steps on one batch, samples of one class are more alike than those of two."""
    bench = Bench(pair("predsim"), settings={"similarity": 0.99})
    same = labels()[:, None] == labels()
    optimiser = torch.optim.Adam([bench.weight], 0.02)
    margins = []
    for _ in range(40):
        optimiser.zero_grad()
        bench.gradients(spikes("dense", 4), labels())
        optimiser.step()
        alike = torch.corrcoef(summary(bench.layer.record.output.mean(0).detach()))
        margins.append(float(alike[same & ~torch.eye(len(same), dtype=torch.bool)].mean() - alike[~same].mean()))
    assert margins[-1] > margins[0] + 1.0
