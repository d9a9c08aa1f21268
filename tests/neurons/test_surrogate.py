from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurons import surrogate
from neurons.registry import SURROGATES

_THEIRS = {
    "atan": ("ATan", 2.0),
    "sigmoid": ("Sigmoid", 4.0),
    "triangle": ("PiecewiseQuadratic", 1.0),
    "fast_sigmoid": ("SuperSpike", None),
    "rectangle": ("Rect", 1.0),
}


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("sharpness", [1.0, 0.5, 4.0])
def test_it_equals_spikingjelly_s(name: str, sharpness: float) -> None:
    from spikingjelly.activation_based import surrogate as theirs

    kind, alpha = _THEIRS[name]
    u = torch.linspace(-2, 2, 401, requires_grad=True)
    if alpha is None:  # its SuperSpike has a gain instead of a sharpness; a steeper one is that of a longer u
        its = theirs.SuperSpike(alpha=1.0)(sharpness * u)
    else:
        its = getattr(theirs, kind)(alpha=alpha * sharpness)(u)
    mine = surrogate.build(name, sharpness)(u)
    assert torch.equal(mine, its)
    torch.testing.assert_close(torch.autograd.grad(mine.sum(), u)[0], torch.autograd.grad(its.sum(), u)[0])


@pytest.mark.parametrize("name", SURROGATES)
@given(sharpness=st.floats(0.1, 50.0))
def test_a_bump_is_even_and_highest_at_the_threshold(name: str, sharpness: float) -> None:
    bump = surrogate.build(name, sharpness)
    u = torch.linspace(0, 5, 200)
    d = bump.derivative(u)
    assert d[0] == pytest.approx(sharpness)
    assert (d.diff() <= 1e-6 * sharpness).all()
    assert (d >= 0).all()
    torch.testing.assert_close(bump.derivative(-u), d)


def test_the_configuration_is_the_callable() -> None:
    assert surrogate.build("atan", 2.0) == surrogate.ATan(2.0)
    assert surrogate.ATan(2.0) != surrogate.ATan(1.0)
    assert [surrogate.build(name).code for name in SURROGATES] == list(range(len(SURROGATES)))
