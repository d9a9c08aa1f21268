"""A split in memory, and the test split that stays sealed until somebody says why it is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Never

import torch
from torch import Tensor

from snn_nas.data.augment import augmented
from snn_nas.data.registry import Augmentation

Device = torch.device | str


@dataclass(frozen=True, slots=True)
class Split:
    """`images` uint8 `[N, C, H, W]` (recordings: `[N, T, C, H, W]`), `labels` int64 `[N]`; `scale` is what a pixel
    is divided by: 255 for images, 1 for event counts.
    """

    images: Tensor
    labels: Tensor
    scale: float = 255.0

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: Device) -> Split:
        """The same split living on `device`, so that batches are cut and augmented there."""
        return Split(self.images.to(device), self.labels.to(device), self.scale)

    def resident(self, device: Device) -> Split:
        """The same split living on a GPU where it takes at most a quarter of the memory that is free there."""
        if torch.device(device).type != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(device)
        return self.to(device) if self.images.nbytes <= free // 4 else self

    def first(self, count: int) -> Split:
        """The first `count` items; training and validation splits are mixed, not sorted by class."""
        return Split(self.images[:count], self.labels[:count], self.scale)

    def after(self, count: int) -> Split:
        """All but the first `count` items."""
        return Split(self.images[count:], self.labels[count:], self.scale)

    def batches(
        self,
        batch_size: int,
        generator: torch.Generator | None = None,
        augment: Augmentation | None = None,
        device: Device | None = None,
        drop_last: bool = False,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass: float32 images in `[0, 1]`, `[B, C, H, W]` (recordings: counts, `[T, B, C, H, W]`), and labels.

        With a `generator` the order is drawn from it, without one the order is the stored one. Normalisation is the
        network's matter: see `Dataset.normalise`.

        Raises:
            ValueError: `augment` without a `generator`, or a batch size below 1.
        """
        if batch_size < 1:
            raise ValueError("batch_size is at least 1")
        if augment and generator is None:
            raise ValueError("augmentation draws from a generator: give one")
        return self._batches(batch_size, generator, augment, device, drop_last)

    def _batches(
        self,
        batch_size: int,
        generator: torch.Generator | None,
        augment: Augmentation | None,
        device: Device | None,
        drop_last: bool,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        order = None
        if generator is not None:
            order = torch.randperm(len(self), generator=generator, device=generator.device)
            order = order.to(self.images.device, non_blocking=True)
        end = len(self) - len(self) % batch_size if drop_last else len(self)
        for start in range(0, end, batch_size):
            chosen = slice(start, start + batch_size) if order is None else order[start : start + batch_size]
            images, labels = self.images[chosen], self.labels[chosen]
            if device is not None:
                images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            if augment and generator is not None:
                images = augmented(images, augment, generator)
            pixels = images.float() if self.scale == 1.0 else images.float().div_(self.scale)
            yield (pixels if pixels.ndim == 4 else pixels.transpose(0, 1)), labels


class SealedError(RuntimeError):
    """The test split was touched where it must not be."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Why and when (UTC, ISO 8601) the test split was opened."""

    reason: str
    at: str


class SealedSplit:
    """The test split. Everything but `open` raises `SealedError`, and for a search `open` raises it too."""

    def __init__(self, read: Callable[[], Split] | None) -> None:
        """`read` gives the split once it is opened; None where it may never be (a search)."""
        self._read = read
        self.openings: list[Opening] = []

    def open(self, reason: str, *, again: bool = False) -> Split:
        """The test split, with the opening recorded in `openings`.

        Raises:
            SealedError: the data was loaded for a search, no reason was given, or the split was opened before for
                another reason and `again` is not set.
            UserError: the data set came without test images.
        """
        if self._read is None:
            raise SealedError("a search never sees the test split: load the data with purpose='train' to evaluate")
        if not reason.strip():
            raise SealedError("say for what reason the test split is opened")
        if self.openings and not again and all(past.reason != reason for past in self.openings):
            first = self.openings[0]
            raise SealedError(f"the test split was opened already, at {first.at}, for {first.reason!r}")
        split = self._read()
        self.openings.append(Opening(reason, datetime.now(UTC).isoformat(timespec="seconds")))
        return split

    def _sealed(self) -> Never:
        raise SealedError("the test split is sealed: open(reason) gives it, once")

    @property
    def images(self) -> Tensor:
        """Sealed."""
        self._sealed()

    @property
    def labels(self) -> Tensor:
        """Sealed."""
        self._sealed()

    def __len__(self) -> int:  # noqa: PLE0303
        self._sealed()

    def __iter__(self) -> Iterator[Never]:
        self._sealed()

    def to(self, *_: object, **__: object) -> Never:
        """Sealed."""
        self._sealed()

    def batches(self, *_: object, **__: object) -> Never:
        """Sealed."""
        self._sealed()
