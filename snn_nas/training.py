"""The training loop: layers that learn before the others, then epochs of batches, each measured and saved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurons.errors import UserError
from rules import across
from rules.layer import Layer
from snn_nas import auxiliary, distributed
from snn_nas.average import MovingAverage
from snn_nas.batches import batches, least, per_pass
from snn_nas.checkpoint import Checkpoint
from snn_nas.compiling import Compiled
from snn_nas.data import Dataset, Split
from snn_nas.data.registry import Augmentation
from snn_nas.layerwise import is_layerwise, prepare, train_layer, train_mode
from snn_nas.learning import learn, mixed
from snn_nas.mixup import mixup
from snn_nas.network import Network
from snn_nas.optimisers import Optimisers
from snn_nas.prediction import accuracy, predict
from snn_nas.recompute import recomputed
from snn_nas.tensorboard import Board
from snn_nas.training_settings import Training

__all__ = [
    "Diverged", "Epoch", "Optimisers", "Training", "accuracy", "learn", "mixed", "predict", "train", "train_layer"
]  # fmt: skip


class Diverged(RuntimeError):  # noqa: N818  a way for a trial to end
    """The loss is no number any more."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch came to: mean training loss, validation accuracy, seconds of training alone."""

    number: int
    loss: float
    accuracy: float
    seconds: float


def train(
    network: Network,
    data: Dataset,
    training: Training,
    *,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
    tensorboard: Path | None = None,
) -> list[Epoch]:
    """Train on `data.train`, watching accuracy on `data.validation`; the test split is not touched.

    Layers whose rule is `layerwise` learn first, in the order of depth, on the spikes of the finished layers below
    them; then everything else learns together. Same seed, same machine: same weights, bit for bit on a CPU. With a
    `checkpoint`, a run goes on after the last epoch that it holds, which `on_epoch` then hears of again.
    `tensorboard` is a folder for curves.

    Raises:
        Diverged: the loss became infinite or NaN.
        UserError: the checkpoint is damaged, of another run, or not the same for all processes; a batch has no equal
            shares for several processes, or there are too few images for one.
    """
    run = _Run(network, data, training, seed, device)
    saved = checkpoint.load() if checkpoint else None
    if not distributed.agree(len(saved["history"]) if saved else -1):
        raise UserError("checkpoint: processes find different ones: give all a folder that every machine reads")
    if saved:
        run.load_state_dict(saved)
        if run.history and on_epoch is not None:
            on_epoch(run.history[-1])
    else:
        run.prepare()
    run.equalise()
    if not distributed.first():
        checkpoint = tensorboard = None  # the first process alone writes
    if checkpoint is not None and not run.history:
        checkpoint.save(run.state_dict())
    board = None if tensorboard is None else Board(tensorboard, after=len(run.history))
    for number in range(len(run.history) + 1, training.epochs + 1):
        run.epoch(number)
        if board is not None:
            board.write(run.history[-1], network, run.optimisers.rates(), run.validation, device)
        if checkpoint is not None:
            checkpoint.save(run.state_dict())
        if on_epoch is not None:
            on_epoch(run.history[-1])
    if board is not None:
        board.close()
    run.settle()
    return run.history


class _Run:
    """A training under way: what a checkpoint holds is its state."""

    def __init__(
        self, network: Network, data: Dataset, training: Training, seed: int, device: torch.device | str
    ) -> None:
        distributed.check_batch(training.batch_size)
        if len(data.train) < least():
            raise UserError(f"training images: {len(data.train)} make no batch, train on {least()} or more")
        fit_encoding(network, data.train)
        self.network, self.training, self.device = network.to(device), training, device
        self.data, self.split, self.validation = data, data.train.resident(device), data.validation.resident(device)
        self.order = torch.Generator().manual_seed(seed)
        self.compiled = Compiled(network) if training.compile else None
        network.call = self.compiled or network.call
        if training.recompute:
            network.call = partial(recomputed, call=network.call)
        self.head = auxiliary.build(network) if training.auxiliary else None
        joint = [layer for layer in network if not is_layerwise(layer)]
        if self.head is not None:
            self.head.to(device)
            joint.append(self.head.layer)
        self.optimisers = Optimisers(joint, training, per_pass(data.train, training.batch_size) * training.epochs)
        self.average = MovingAverage(network, training.ema) if training.ema else None
        self.finished = [layer for layer in network if is_layerwise(layer)]
        self.history: list[Epoch] = []

    def prepare(self) -> None:
        """Layers that learn before the others do so; all others take what statistics they need."""
        arguments = self.split, self.training, self.order, self.device
        for name, layer in self.network.layers.items():
            if is_layerwise(layer):
                train_layer(self.network, name, *arguments)
        train_mode(self.network, self.finished)
        for name, layer in self.network.layers.items():
            if not is_layerwise(layer):
                prepare(self.network, name, *arguments)

    def equalise(self) -> None:
        """All processes start from the first one's numbers."""
        distributed.equalise(self.network, *[self.head] if self.head else [])

    def epoch(self, number: int) -> None:
        """One pass over the training data, and a look at the validation data."""
        started = time.perf_counter()
        train_mode(self.network, self.finished)
        self.network.drop_path.rate = self.training.drop_path * (number - 1) / self.training.epochs
        total = torch.zeros((), device=self.device)
        for images, labels in self._batches():
            total += learn(self.network, images, labels, self.training, self.head) * len(labels)
            self.optimisers.step()
            if self.average:
                self.average.update()
        loss = float(across.mean(total)) * across.processes() / len(self.split)
        if not math.isfinite(loss):
            raise Diverged(f"the loss is {loss} in epoch {number}")
        seconds = time.perf_counter() - started
        with self.average.applied() if self.average else nullcontext():
            self.history.append(
                Epoch(number, loss, distributed.accuracy(self.network, self.validation, self.device), seconds)
            )

    def settle(self) -> None:
        """The end: the network takes its averaged weights, and is as it would be used."""
        self.network.drop_path.rate = 0.0
        self.network.call = Layer.__call__
        if self.compiled:
            self.compiled.release()
        if self.average:
            self.average.settle()

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        how = self.data.augmentation if self.training.augment else Augmentation()
        if self.training.cutout:
            how = replace(how, cutout=self.training.cutout)
        for images, labels in batches(self.split, self.training.batch_size, self.order, self.device, how):
            batch = images, labels
            if self.training.mixup:
                batch = mixup(images, labels, self.data.classes, self.training.mixup, self.order)
            yield distributed.share(*batch)

    def state_dict(self) -> dict[str, Any]:
        """All of it, but for torch's global generators, which the checkpoint keeps."""
        return {
            "network": self.network.state_dict(),
            "head": self.head.state_dict() if self.head else None,
            "optimisers": self.optimisers.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "order": self.order.get_state(),
            "history": [asdict(epoch) for epoch in self.history],
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.network.load_state_dict(saved["network"])
        self.optimisers.load_state_dict(saved["optimisers"])
        self.order.set_state(saved["order"])
        self.history = [Epoch(**each) for each in saved["history"]]
        if self.head:
            self.head.load_state_dict(saved["head"])
        if self.average:
            self.average.load_state_dict(saved["average"])


def fit_encoding(network: Network, split: Split, images: int = 2000) -> None:
    """Fit an encoding that has statistics (whitening, contrast) on the first training images."""
    network.encoding.fit(next(split.batches(images))[0])
