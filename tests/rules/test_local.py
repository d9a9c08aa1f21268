"""The local loss is the gradient of a head on this layer, and of nothing else."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from rules.registry import pair
from rules.rule import Signals
from tests.contracts.bench import CLASSES, Bench, labels, spikes


def test_local_is_the_gradient_of_its_own_head() -> None:
    bench = Bench(pair("local"), settings={"pool": 2})
    x = spikes("dense", 4)
    bench.gradients(x, labels(), above=False)
    layer, head = bench.layer, bench.layer.rule.head
    current = layer.norm(layer.synapse(x.flatten(0, 1))).unflatten(0, x.shape[:2])
    rates = layer.population(current).mean(0).unfold(2, 3, 3).unfold(3, 3, 3).mean((4, 5))  # a grid of 2 x 2
    loss = F.cross_entropy(F.linear(rates.flatten(1), head.weight, head.bias), labels())
    own = [layer.synapse.weight, head.weight, head.bias]
    for parameter, expected in zip(own, torch.autograd.grad(loss, own), strict=True):
        torch.testing.assert_close(parameter.grad, expected)


def test_where_each_step_has_a_loss_so_has_each_step_of_the_head() -> None:
    bench = Bench(pair("local"), settings={"pool": 2})
    layer, head = bench.layer, bench.layer.rule.head
    layer(spikes("dense", 4))
    out = layer.record.output
    grids = out.unfold(3, 3, 3).unfold(4, 3, 3).mean((5, 6)).flatten(2)
    wanted = torch.stack([F.cross_entropy(F.linear(grid, head.weight, head.bias), labels()) for grid in grids]).mean()
    currents = torch.zeros(4, *out.shape[1:2], CLASSES, dtype=torch.float64)
    ((loss, _),) = layer.rule.update(layer, Signals.of(currents, labels(), each_step=True))
    torch.testing.assert_close(loss, wanted)
    ((other, _),) = layer.rule.update(layer, Signals.of(currents, labels()))
    assert float((loss - other).abs().detach()) > 1e-4
    mixed = Signals.of(currents, F.one_hot(labels(), CLASSES).double(), each_step=True)
    torch.testing.assert_close(layer.rule.update(layer, mixed)[0][0], wanted)


def test_the_grid_is_never_finer_than_the_image() -> None:
    assert Bench(pair("local"), settings={"pool": 16}).layer.rule.grid == (6, 6)
    assert Bench(pair("local"), "linear").layer.rule.grid is None


def test_nothing_goes_down() -> None:
    assert Bench(pair("local")).gradients(spikes("dense", 4), labels()) is None
