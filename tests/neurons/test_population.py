from __future__ import annotations

import pytest
import torch

from neurons import population
from neurons.registry import POPULATIONS
from tests.contracts.population import PopulationContract
from tests.neurons.extension import needs_build

SPIKINGJELLY = [name for name in POPULATIONS if name != "alif"]


def _contracts() -> dict[str, type]:
    """One subclass a population and a backend that can hold it."""
    found: dict[str, type] = {}
    for backend in ("plain", "torch", "fused", "cupy", "triton"):
        for name in POPULATIONS if backend in ("plain", "fused") else SPIKINGJELLY:
            body: dict[str, object] = {"name": name, "backend": backend, "__module__": __name__}
            if backend in ("cupy", "triton"):
                body["device"] = "cuda"
            case = type(f"Test_{name}_{backend}", (PopulationContract,), body)
            if backend == "fused":
                case = needs_build(case)
            if backend in ("cupy", "triton"):
                case = pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")(case))
            found[case.__name__] = case
    return found


globals().update(_contracts())


def test_step_carries_gradients_through_time() -> None:
    p = population.build("alif", {"tau": 4.0})
    x = torch.full((2, 3), 0.6, requires_grad=True)
    _, state = p.step(x)
    s, state = p.step(torch.full((2, 3), 0.6), state)
    assert (torch.autograd.grad(s.sum(), x)[0] > 0).all()
    assert state.a is not None
    assert torch.equal(state.u, p.dynamics.charge(torch.full((2, 3), 0.6), p.step(x)[1].v, None) - 1.0)


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize("decay_input", [True, False])
def test_decay_and_gain_are_the_charge_s_derivatives(name: str, decay_input: bool) -> None:
    p = population.build(name, {} if name == "if" else {"tau": 3.0, "decay_input": decay_input})
    x, v = torch.zeros((), requires_grad=True), torch.zeros((), requires_grad=True)
    gain, decay = torch.autograd.grad(p.dynamics.charge(x, v, p.w), (x, v))
    with torch.no_grad():
        found = float(p.gain), float(p.decay)
    assert found == pytest.approx((float(gain), float(decay)))


def test_plif_learns_its_time_constant_and_starts_as_lif() -> None:
    x = torch.rand(4, 2, 30)
    assert torch.equal(population.build("plif", {"tau": 2.0})(x), population.build("lif", {"tau": 2.0})(x))
    assert [name for name, _ in population.build("plif").named_parameters()] == ["w"]


def test_an_adaptive_threshold_slows_firing() -> None:
    x = torch.full((50, 1, 1), 2.0)
    rates = [population.build("alif", {"beta": beta})(x).mean().item() for beta in (0.0, 0.2, 1.0)]
    assert rates[0] > rates[1] > rates[2] > 0
    assert torch.equal(population.build("alif", {"beta": 0.0})(x), population.build("lif")(x))


def test_repr_shows_what_is_not_the_default() -> None:
    assert str(population.build("lif", {"tau": 3}, backend="plain")) == "Population(lif, tau=3.0, backend=plain)"
