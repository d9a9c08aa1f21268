from __future__ import annotations

import pytest
import torch
from torch import Tensor

from neurons import encodings
from neurons.errors import UserError
from neurons.registry import ENCODINGS


def _images(count: int = 64, channels: int = 3, side: int = 16) -> Tensor:
    """Smooth random images in [0, 1], neighbours and channels correlated as in natural ones."""
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(0))
    smooth = encodings._blur(noise, 1.0) + noise.mean(dim=1, keepdim=True) * 0.3
    return (smooth - smooth.amin()) / (smooth.amax() - smooth.amin())


@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "events"])
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 16)])
def test_every_encoding_keeps_what_it_declares(name: str, channels: int, side: int) -> None:
    encoding = encodings.build(name, steps=5)
    x = _images(32, channels, side)
    encoding.fit(x)
    y = encoding(x[:4])
    shape = (4, encoding.out_channels(channels), side, side)
    assert y.shape == ((5, *shape) if ENCODINGS[name].timed else shape)
    assert torch.isfinite(y).all()
    if ENCODINGS[name].timed:
        assert set(y.unique().tolist()) <= {0.0, 1.0}
    assert not list(encoding.parameters())


@pytest.mark.parametrize("name", [name for name, each in ENCODINGS.items() if each.fitted])
def test_fitting_is_required_deterministic_and_saved(name: str) -> None:
    x = _images()
    with pytest.raises(RuntimeError, match="has not been fitted"):
        encodings.build(name, steps=4)(x)
    one, two, three = (encodings.build(name, steps=4) for _ in range(3))
    one.fit(x)
    two.fit(x)
    three.load_state_dict(one.state_dict())
    assert torch.equal(one(x), two(x))
    assert torch.equal(one(x), three(x))


def test_direct_is_the_image() -> None:
    x = _images(2)
    assert encodings.build("direct", steps=4)(x) is x


def test_poisson_fires_at_the_rate_of_the_brightness() -> None:
    x = torch.tensor([0.0, 0.25, 1.0]).view(1, 3, 1, 1).expand(50, 3, 1, 1)
    encoding = encodings.build("poisson", steps=400, generator=torch.Generator().manual_seed(0))
    rates = encoding(x).mean(dim=(0, 1)).flatten().tolist()
    assert rates == [0.0, pytest.approx(0.25, abs=0.01), 1.0]
    again = encodings.build("poisson", steps=400, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(x), encodings.build("poisson", steps=400, generator=torch.Generator().manual_seed(0))(x))
    torch.manual_seed(3)
    first = encodings.build("poisson", steps=4)(x)
    torch.manual_seed(3)
    assert torch.equal(first, encodings.build("poisson", steps=4)(x))


def test_latency_fires_once_and_the_earlier_the_brighter() -> None:
    x = torch.tensor([1.0, 0.5, 0.05, 0.0]).view(1, 4, 1, 1)
    y = encodings.build("latency", steps=5)(x).flatten(1)
    assert y.argmax(dim=0)[:3].tolist() == [0, 2, 4]
    assert y.sum(dim=0).tolist() == [1, 1, 1, 0]
    assert encodings.build("latency", {"floor": 0.2}, steps=5)(x).sum() == 2


def test_events_pass_or_say_what_they_take() -> None:
    frames = torch.rand(4, 2, 1, 3, 3)
    encoding = encodings.build("events", steps=4)
    assert torch.equal(encoding(frames), frames)
    for wrong in (torch.rand(3, 2, 1, 3, 3), torch.rand(4, 1, 3, 3)):
        with pytest.raises(UserError, match=r"takes frames \[4, B, C, H, W\]"):
            encoding(wrong)


def test_onoff_sees_contrast_and_not_brightness() -> None:
    x = _images()
    encoding = encodings.build("onoff", steps=1)
    encoding.fit(x)
    on, off = encoding(x).chunk(2, dim=1)
    assert ((on > 0) & (off > 0)).sum() == 0
    assert (on - off).std() == pytest.approx(1.0, abs=1e-3)
    torch.testing.assert_close(encoding(x + 0.5), encoding(x), atol=1e-4, rtol=0)
    spot = torch.zeros(1, 1, 15, 15)
    spot[..., 7, 7] = 1.0
    on, off = encoding(spot).chunk(2, dim=1)
    assert on.argmax() == 7 * 15 + 7
    assert off[0, 0, 7, 4] > 0


def test_whitening_decorrelates_neighbours_and_channels() -> None:
    x = _images(400, 3, 16)
    encoding = encodings.build("whiten", {"epsilon": 1e-4}, steps=1)
    encoding.fit(x)
    y = encoding(x)
    assert torch.allclose(y.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-3)

    def correlation(a: Tensor, b: Tensor) -> float:
        return abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]))

    for images, low, high in ((x, 0.4, 1.0), (y, 0.0, 0.15)):
        assert low <= correlation(images[..., 4:-4, 4:-5], images[..., 4:-4, 5:-4]) <= high
        assert correlation(images[:, 0], images[:, 1]) <= (0.15 if images is y else 1.0)


def test_unknown_names_and_values_are_errors() -> None:
    with pytest.raises(UserError, match="no encoding 'poison'; did you mean 'poisson'"):
        encodings.build("poison", steps=2)
    with pytest.raises(UserError, match="whiten: kernel is one of 3, 5, 7, 9, 11, not 4"):
        encodings.build("whiten", {"kernel": 4}, steps=2)
