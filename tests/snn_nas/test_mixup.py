"""Mixed targets reach every loss and every rule's error: autograd and plain sums are the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from rules.rule import Signals
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.genotype import parse
from snn_nas.learning import learn
from snn_nas.mixup import mixup
from snn_nas.training import train
from snn_nas.training_settings import Training

CLASSES = 5


@pytest.mark.parametrize("shape", [(40, 3, 4, 4), (2, 40, 3, 4, 4)])
def test_samples_and_labels_are_mixed_alike(shape: tuple[int, ...]) -> None:
    """With one-hot planes for labels in the images, the mixed images say what the mixed labels are."""
    labels = torch.arange(40) % CLASSES
    images = labels.float().view(-1, 1, 1, 1).expand(shape).contiguous()
    seen, target = mixup(images, labels, CLASSES, 1.0, torch.Generator().manual_seed(0))
    assert seen.shape == images.shape
    torch.testing.assert_close(target.sum(1), torch.ones(40))
    torch.testing.assert_close(seen.flatten(-3)[..., 0].reshape(-1, 40)[0], target @ torch.arange(CLASSES).float())
    assert ((target > 0).sum(1) == 2).any()


def test_shares_follow_the_beta_distribution_and_the_generator_alone() -> None:
    labels, images = torch.arange(20), torch.zeros(20, 1, 1, 1)
    generator = torch.Generator().manual_seed(1)
    # a sample that is mixed with itself stays whole
    shares = [float(mixup(images, labels, 20, 0.4, generator)[1].amax(1).min()) for _ in range(2000)]
    drawn = np.random.default_rng(0).beta(0.4, 0.4, 2000)
    assert np.mean(shares) == pytest.approx(np.maximum(drawn, 1 - drawn).mean(), abs=0.02)
    torch.manual_seed(5)
    again = mixup(images, labels, 20, 0.4, torch.Generator().manual_seed(1))[1]
    assert float(again.amax(1).min()) == shares[0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_whole_shares_are_labels(smoothing: float) -> None:
    """A distribution that has one class gives what that class's index gives, in every signal."""
    currents, labels = torch.randn(3, 8, CLASSES), torch.arange(8) % CLASSES
    plain = Signals.of(currents, labels, smoothing)
    mixed = Signals.of(currents, F.one_hot(labels, CLASSES).float(), smoothing)
    assert torch.equal(plain.labels, mixed.labels)
    for one, other in ((plain.error, mixed.error), (plain.errors(), mixed.errors()), (plain.target, mixed.target)):
        torch.testing.assert_close(one.float(), other.float())
    torch.testing.assert_close(plain.loss(currents[0]), mixed.loss(currents[0]))


def test_the_error_is_the_gradient_of_the_mixed_loss() -> None:
    currents, target = torch.randn(3, 8, CLASSES, requires_grad=True), torch.rand(8, CLASSES).softmax(1)
    signals = Signals.of(currents, target, 0.1)
    logits = currents.detach().mean(0).requires_grad_()
    loss = F.cross_entropy(logits, target, label_smoothing=0.1)
    torch.testing.assert_close(signals.error, torch.autograd.grad(loss, logits)[0])
    torch.testing.assert_close(signals.errors()[-1] * len(currents), signals.error)
    assert torch.equal(signals.labels, target.argmax(1))


@pytest.mark.parametrize(
    ("rule", "up"),
    [("bp", "exact"), ("local", "none"), ("dfa", "none"), ("drtp", "none"), ("eprop", "none"), ("ottt~usf", "usf")],
)
@pytest.mark.parametrize("loss", ["mean", "tet"])
def test_gradients_are_affine_in_the_target(rule: str, up: str, loss: str) -> None:
    """Every rule's gradient of a mixed target is the mixture of the gradients of the two targets it is mixed of."""
    text = f"chain(T=2){{conv(c=4)@{rule}/lif(threshold=0.3); readout@delta~{up}}}"
    torch.manual_seed(0)
    images, one, other = torch.rand(6, 1, 8, 8), torch.arange(6) % CLASSES, torch.arange(1, 7) % CLASSES
    kept = torch.tensor(0.3)
    found = []
    for labels in (one, other, torch.lerp(F.one_hot(one, CLASSES).float(), F.one_hot(other, CLASSES).float(), kept)):
        torch.manual_seed(1)
        network = networks.build(parse(text), (1, 8, 8), CLASSES)
        learn(network, images, labels, Training(loss=loss, label_smoothing=0.1))
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    assert len(found[0]) >= 3
    for first, second, mixed in zip(*found, strict=True):
        torch.testing.assert_close(torch.lerp(first, second, kept), mixed, rtol=1e-4, atol=1e-6)


def test_cutout_and_mixing_are_what_the_network_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = data_sets.load("digits", train=40, validation=20)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def look(network: networks.Network, images: torch.Tensor, labels: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.append((images, labels))
        return learn(network, images, labels, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("snn_nas.training.learn", look)
    text = parse("chain(T=1){conv(c=2)@bp/lif; readout@delta~exact}")
    plain, cut, mixed = (
        (
            train(networks.build(text, (1, 8, 8), 10), digits, Training(epochs=1, batch_size=40, **more), seed=0),
            seen[-1],
        )[1]
        for more in ({}, {"cutout": 4}, {"mixup": 1.0})
    )
    assert plain[1].shape == (40,)
    share = float((cut[0] == 0).float().mean() - (plain[0] == 0).float().mean())
    assert share > 0.03
    assert mixed[1].shape == (40, 10)
    assert mixed[0].shape == plain[0].shape
