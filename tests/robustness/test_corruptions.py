"""Corruptions against formulas and other libraries."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from torch import Tensor

from neurons.errors import UserError
from snn_nas.robustness.corruptions import KINDS, SEVERITIES, corrupt

COLOUR = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def corrupted(images: Tensor, kind: str, severity: int) -> Tensor:
    return corrupt(images, kind, severity, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_every_corruption_keeps(kind: str, channels: int) -> None:
    # smooth images, as photographs are: noise of their own would hide what a corruption does
    images = COLOUR[:, :channels].mean((2, 3), keepdim=True) * torch.linspace(0.2, 1.0, 16)
    damage = []
    for severity in SEVERITIES:
        found = corrupted(images.expand(6, channels, 16, 16), kind, severity)
        assert found.shape == (6, channels, 16, 16)
        assert torch.equal(found, corrupted(images.expand(6, channels, 16, 16), kind, severity))
        levels = found * 255
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert 0.0 <= found.min() <= found.max() <= 1.0
        damage.append(float((found - images).square().mean()))
    assert damage[0] > 0
    assert damage[-1] > damage[0]  # heavier is worse


def test_noises_have_their_statistics() -> None:
    grey = torch.full((20, 3, 32, 32), 0.5)
    values = 20 * 3 * 32 * 32
    assert float((corrupted(grey, "gaussian noise", 5) - 0.5).std()) == pytest.approx(0.10, rel=0.02)
    assert float(corrupted(grey, "shot noise", 5).std()) == pytest.approx(math.sqrt(0.5 / 50), rel=0.02)
    salted = corrupted(grey, "impulse noise", 5)
    assert int((salted == 1).sum()) / values == pytest.approx(0.035, rel=0.1)
    assert int((salted == 0).sum()) / values == pytest.approx(0.035, rel=0.1)


def test_contrast_shrinks_about_the_mean_of_each_channel() -> None:
    found = corrupted(COLOUR, "contrast", 3)
    mean = COLOUR.mean((2, 3), keepdim=True)
    assert (found - (mean + 0.4 * (COLOUR - mean))).abs().max() <= 1 / 255 + 1e-6


def test_brightness_is_that_of_hue_saturation_and_value() -> None:
    hsv = rgb_to_hsv(COLOUR.permute(0, 2, 3, 1).numpy())
    hsv[..., 2] = np.clip(hsv[..., 2] + 0.3, 0, 1)
    expected = torch.from_numpy(hsv_to_rgb(hsv)).permute(0, 3, 1, 2)
    assert (corrupted(COLOUR, "brightness", 5) - expected).abs().max() <= 1 / 255 + 1e-5
    black = torch.zeros(1, 3, 4, 4)
    assert (corrupted(black, "brightness", 5) - 0.3).abs().max() <= 1 / 255  # no hue: grey


def test_blur_is_a_gaussian() -> None:
    dot = torch.zeros(1, 3, 15, 15)
    dot[0, 0, 7, 7] = 1.0
    line = torch.exp(-torch.arange(-7.0, 8.0).square() / (2 * 0.7**2))
    line[(torch.arange(-7, 8).abs() > 3)] = 0  # cut at four widths
    expected = torch.outer(line, line) / line.sum() ** 2
    found = corrupted(dot, "gaussian blur", 3)
    assert (found[0, 0] - expected).abs().max() <= 1 / 255 + 1e-6
    assert not found[0, 1:].any()  # each channel by itself


def test_jpeg_is_pillows() -> None:
    pixels = COLOUR[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=40)
    expected = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)
    assert (corrupted(COLOUR[:1], "jpeg", 5)[0] * 255 - expected).abs().max() <= 1.0 + 1e-3
    with pytest.raises(UserError, match="1 or 3 channels, not 2"):
        corrupted(COLOUR[:, :2], "jpeg", 1)
