"""The batches that a network learns from."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rules import across
from snn_nas.data import Split
from snn_nas.data.registry import Augmentation


def batches(
    split: Split,
    batch_size: int,
    order: torch.Generator,
    device: torch.device | str,
    augmentation: Augmentation | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass in an order drawn from `order`: images `[B, C, H, W]` (recordings `[T, B, C, H, W]`), labels `[B]`.

    A last batch of fewer images than `least` is left out.
    """
    for images, labels in split.batches(batch_size, order, augmentation, device):
        if len(labels) >= least():
            yield images, labels


def per_pass(split: Split, batch_size: int) -> int:
    """How many `batches` one pass has."""
    whole, left = divmod(len(split), batch_size)
    return whole + (left >= least())


def least() -> int:
    """Images of a batch: one alone has no variance for the norms, and every process needs one."""
    return max(2, across.processes())
