"""First-order DARTS: weights and architecture weights take turns (Liu et al. 2019, arXiv 1806.09055, section 2.3).

    weights               step on half of the training images, each layer by its own rule and optimiser
    architecture weights  step by Adam on a batch of the other half, along the exact gradient of the loss at the
                          weights as they are (first order: their dependence on the architecture is left out)

The first epochs train weights alone, for to begin with every choice is as bad as the next, and parameter-free ones,
which need no training, would run away with the preference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from neurons.errors import UserError
from snn_nas.batches import batches, per_pass
from snn_nas.data import Dataset, Split
from snn_nas.learning import learn, loss_of
from snn_nas.optimisers import Optimisers
from snn_nas.supernet.bank import prepare
from snn_nas.supernet.blueprint import Blueprint
from snn_nas.supernet.mixture import Mixture
from snn_nas.training import fit_encoding
from snn_nas.training_settings import Training

OnStep = Callable[[int, int, Tensor], None]
"""Called with the steps that are done, all steps, and the loss `[]`, for which a GPU is waited where it is read."""


def architecture_gradient(mixture: Mixture, images: Tensor, labels: Tensor, training: Training) -> None:
    """Fill the gradients of the architecture weights with the exact ones of the loss on a batch."""
    with mixture.exactly():
        loss = loss_of(mixture(images), labels, training)
    found = torch.autograd.grad(loss, list(mixture.architecture), allow_unused=True)
    for weights, gradient in zip(mixture.architecture, found, strict=True):
        weights.grad = gradient


def search(
    blueprint: Blueprint,
    data: Dataset,
    training: Training,
    *,
    seed: int,
    warmup: float = 0.2,
    architecture_lr: float = 0.01,
    device: str = "cpu",
    backend: str = "auto",
    on_step: OnStep | None = None,
) -> Mixture:
    """Train a supernet for `training.epochs` passes over the first half of the training images.

    The validation images are left to the trials, which choose the winner by them. Same seed, same machine: same
    architecture weights, bit for bit on a CPU.

    Raises:
        UserError: there are fewer than four training images.
    """
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    mixture = Mixture(blueprint, normalise=data.normalise, backend=backend).to(device)
    weights, held = halves(data.train)
    fit_encoding(mixture, weights)
    mixture.train()
    images, _ = next(weights.batches(training.batch_size, device=device))
    prepare(mixture, mixture, images)
    total, done = per_pass(weights, training.batch_size) * training.epochs, 0
    optimisers = Optimisers(list(mixture), training, total)
    adam = torch.optim.Adam(mixture.architecture, architecture_lr, betas=(0.5, 0.999), weight_decay=1e-3)
    others = _endless(held, training.batch_size, order, device)
    augmentation = data.augmentation if training.augment else None
    for epoch in range(training.epochs):
        for images, labels in batches(weights, training.batch_size, order, device, augmentation):
            if epoch >= warmup * training.epochs:
                architecture_gradient(mixture, *next(others), training)
                adam.step()
            loss = learn(mixture, images, labels, training)
            optimisers.step()
            done += 1
            if on_step is not None:
                on_step(done, total, loss)
    return mixture


def halves(split: Split) -> tuple[Split, Split]:
    """The images for weights, and those for architecture weights.

    Raises:
        UserError: there are fewer than four, and no batch can be made of each half.
    """
    if len(split) < 4:
        raise UserError(f"training images: a supernet learns from two halves of at least 2 each, not from {len(split)}")
    middle = (len(split) + 1) // 2
    return split.first(middle), split.after(middle)


def _endless(split: Split, batch_size: int, order: torch.Generator, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches(split, batch_size, order, device)
