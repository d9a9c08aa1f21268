from __future__ import annotations

import pytest
import torch

from snn_nas.data import Augmentation
from snn_nas.data.augment import augmented, cutout, random_crop, random_flip

IMAGES = torch.arange(1, 1 + 64 * 3 * 8 * 8).reshape(64, 3, 8, 8)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (5, 3, 7, 9), (5, 4, 2, 6, 6)])
def test_shape_and_type_stay_and_the_generator_decides(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    images = torch.randint(1, 255, shape).to(dtype)
    how = Augmentation(pad=2, flip=True, cutout=3)
    first, second = augmented(images, how, generator()), augmented(images, how, generator())
    assert first.shape == images.shape
    assert first.dtype == dtype
    assert torch.equal(first, second)
    assert torch.equal(augmented(images, Augmentation(), generator()), images)


def test_every_crop_is_a_window_of_the_padded_image() -> None:
    padded = torch.nn.functional.pad(IMAGES, (2, 2, 2, 2))
    places = set()
    for item, crop in enumerate(random_crop(IMAGES, 2, generator())):
        found = [(y, x) for y in range(5) for x in range(5) if torch.equal(padded[item, :, y : y + 8, x : x + 8], crop)]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 15


def test_flips_mirror_about_half_of_the_items_whole() -> None:
    flipped = random_flip(IMAGES, generator())
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, IMAGES, strict=True)]
    kept = [torch.equal(a, b) for a, b in zip(flipped, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 20 < sum(mirrored) < 44


def test_cutout_takes_one_rectangle_from_all_planes() -> None:
    for image in cutout(IMAGES, 4, generator()):
        hole = image == 0
        assert (hole == hole[:1]).all()
        heights, widths = hole[0].any(1).sum(), hole[0].any(0).sum()
        assert 2 <= heights <= 4
        assert 2 <= widths <= 4
        assert hole[0].sum() == heights * widths
