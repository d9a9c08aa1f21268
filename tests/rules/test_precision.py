"""Where a processor has no bfloat16 products, ours are what it would have."""

from __future__ import annotations

import pytest
import torch

from rules import precision
from rules.synapse import backward, run
from tests.contracts.bench import SYNAPSES, spikes, synapse

STEP = 2**-7
"""Of bfloat16, relative: a sum taken in another order may round to the number beside."""


def low(x: torch.Tensor) -> torch.Tensor:
    return x.detach().to(torch.bfloat16).to(x.dtype)


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "NATIVE", False)


@pytest.mark.usefixtures("without")
@pytest.mark.parametrize("kind", SYNAPSES)
def test_products_are_those_of_bfloat16(kind: str) -> None:
    """The oracle: numbers rounded to bfloat16, multiplied and summed in float64, and rounded."""
    torch.manual_seed(0)
    made, exact = synapse(kind).float(), synapse(kind).double()
    exact.load_state_dict({name: low(value) for name, value in made.state_dict().items()})
    x = torch.randn_like(spikes(kind, 1)[0]).float().requires_grad_()
    known = low(x).double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        ours = run(made, x)
    theirs = exact(known)
    error = torch.randn_like(ours)
    ours.backward(error)
    theirs.backward(low(error).double())
    with torch.autocast("cpu", torch.bfloat16):
        down, up = backward(made, error, x.detach(), made.weight.detach())
    for found, expected in (
        (ours, theirs),
        (x.grad, known.grad),
        (made.weight.grad, exact.weight.grad),
        (down, known.grad),
        (up, exact.weight.grad),
    ):
        assert found is not None
        assert expected is not None
        assert found.dtype == torch.float32
        assert torch.equal(found, low(found))
        assert not torch.equal(found, expected.float())
        torch.testing.assert_close(found, low(expected).float(), rtol=STEP, atol=1e-6)


@pytest.mark.usefixtures("without")
def test_nothing_else_is_rounded() -> None:
    x = torch.randn(2, 3)
    assert not precision.emulated(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert precision.emulated(x)
        assert not precision.emulated(x.double())
    with torch.autocast("cpu", torch.float16):
        assert not precision.emulated(x)


def test_a_processor_that_has_them_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "NATIVE", True)
    with torch.autocast("cpu", torch.bfloat16):
        assert not precision.emulated(torch.randn(2, 3))
