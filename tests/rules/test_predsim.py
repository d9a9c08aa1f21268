"""The similarity loss against its equation, one pair of samples after the other, and that it looks at nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from rules.predsim import summary
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


@pytest.mark.parametrize("kind", ["dense", "linear"])
def test_the_loss_is_its_equation(kind: str) -> None:
    bench = Bench(pair("predsim"), kind, settings={"similarity": 1.0})
    layer = bench.layer
    layer(spikes(kind, 4))
    rates = layer.record.output.mean(0)
    if kind == "dense":
        windows = [rates[..., i : i + 3, j : j + 3] for i in (0, 3) for j in (0, 3)]  # 2 x 2 of 6 x 6 positions
        rates = torch.stack([window.std((2, 3), correction=0) for window in windows], 2).flatten(1)
    mixed = torch.rand(len(rates), CLASSES, dtype=torch.float64).softmax(1)
    for told in (labels(), mixed):
        target = torch.nn.functional.one_hot(told, CLASSES).double() if told.dim() == 1 else told
        signals = Signals.of(torch.zeros(4, len(rates), CLASSES, dtype=torch.float64), told, label_smoothing=0.1)
        ((loss, _),) = layer.rule.update(layer, signals)
        wanted = by_pairs(rates, target)
        torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-6)
        own = layer.synapse.weight
        found, expected = (torch.autograd.grad(each, own, retain_graph=True)[0] for each in (loss, wanted))
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-4)


def test_without_similarity_it_is_local() -> None:
    found = [Bench(pair(name), settings=s).learn(3) for name, s in (("predsim", {"similarity": 0.0}), ("local", {}))]
    torch.testing.assert_close(*found)


def test_the_share_weighs_the_two_losses() -> None:
    losses = {}
    for share in (0.0, 0.25, 1.0):
        layer = Bench(pair("predsim"), settings={"similarity": share}).layer
        layer(spikes("dense", 4))
        signals = Signals.of(torch.zeros(4, 6, CLASSES, dtype=torch.float64), labels())
        losses[share] = float(layer.rule.update(layer, signals)[0][0].detach())
    assert math.isclose(losses[0.25], 0.75 * losses[0.0] + 0.25 * losses[1.0], rel_tol=1e-6)
    assert abs(losses[0.0] - losses[1.0]) > 0.1


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
    bench = Bench(pair("predsim"), settings={"similarity": 1.0})
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


def test_nothing_goes_down() -> None:
    assert Bench(pair("predsim")).gradients(spikes("dense", 4), labels()) is None
