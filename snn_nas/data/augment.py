"""Augmentation of whole batches, on whatever device they live on.

Every function takes and returns `[B, ..., H, W]` of any dtype; all planes of one item (channels, time steps) move
together. Random numbers come from the generator's device, so a CPU generator gives the same augmentation everywhere.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad as pad_with_zeros

from snn_nas.data.registry import Augmentation


def augmented(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """`images` cropped, flipped and cut out as `how` says, in this order."""
    if how.pad:
        images = random_crop(images, how.pad, generator)
    if how.flip:
        images = random_flip(images, generator)
    if how.cutout:
        images = cutout(images, how.cutout, generator)
    return images


def random_crop(images: Tensor, pad: int, generator: torch.Generator) -> Tensor:
    """Pad by `pad` zeros on every side, then cut the original size out at a random place, one per item."""
    height, width = images.shape[-2:]
    planes = pad_with_zeros(images.flatten(1, -3), (pad, pad, pad, pad))
    windows = planes.unfold(2, height, 1).unfold(3, width, 1)  # [B, planes, 2 pad + 1, 2 pad + 1, H, W], a view
    item = torch.arange(len(images), device=images.device)
    return windows[item, :, _integers(images, 2 * pad + 1, generator), _integers(images, 2 * pad + 1, generator)].view(
        images.shape
    )


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror left and right, each item with probability one half."""
    mirrored = _integers(images, 2, generator).bool().view(-1, *[1] * (images.ndim - 1))
    return torch.where(mirrored, images.flip(-1), images)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square to zero, one per item, centred anywhere (so that it may hang over the border): DeVries 2017."""
    height, width = images.shape[-2:]
    rows = _covered(images, height, side, generator)
    columns = _covered(images, width, side, generator)
    hole = rows[:, :, None] & columns[:, None, :]  # [B, H, W]
    return images.masked_fill(hole.view(len(images), *[1] * (images.ndim - 3), height, width), 0)


def _covered(images: Tensor, length: int, side: int, generator: torch.Generator) -> Tensor:
    """`[B, length]`, true where a segment of `side` pixels around a random centre lies."""
    start = _integers(images, length, generator)[:, None] - side // 2
    position = torch.arange(length, device=images.device)
    return (position >= start) & (position < start + side)


def _integers(images: Tensor, below: int, generator: torch.Generator) -> Tensor:
    """One random integer from `[0, below)` per item, on the images' device."""
    drawn = torch.randint(below, (len(images),), generator=generator, device=generator.device)
    return drawn.to(images.device, non_blocking=True)  # or Python waits until the GPU has done the batch before
