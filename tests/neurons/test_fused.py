"""The kernels against SpikingJelly's own nodes, and over settings that hypothesis draws."""

from __future__ import annotations

import itertools
import shutil
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurons import fused_cpu, population
from neurons.registry import POPULATIONS, SURROGATES
from neurons.settings import Setting
from tests.contracts.population import assert_close, brute_force
from tests.neurons.extension import built, needs_build


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_where_there_is_a_compiler_the_extension_is_built() -> None:
    assert built


def _node(name: str, bump: str, *, reset: str, detach: bool, decay_input: bool = True, tau: float = 2.0) -> Any:
    from spikingjelly.activation_based import neuron, surrogate

    kinds = {"atan": "ATan", "sigmoid": "Sigmoid", "triangle": "PiecewiseQuadratic", "fast_sigmoid": "SuperSpike"}
    common = {
        "v_reset": 0.0 if reset == "hard" else None,
        "detach_reset": detach,
        "surrogate_function": getattr(surrogate, kinds.get(bump, "Rect"))(),
        "step_mode": "m",
    }
    if name == "if":
        return neuron.IFNode(**common)
    if name == "lif":
        return neuron.LIFNode(tau=tau, decay_input=decay_input, **common)
    return neuron.ParametricLIFNode(init_tau=tau, decay_input=decay_input, **common)


@needs_build
@pytest.mark.parametrize("name", ["lif", "if", "plif"])
@pytest.mark.parametrize("bump", SURROGATES)
def test_it_equals_spikingjelly_s_node(name: str, bump: str) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(6, 2, 700) * 1.5 + 0.3, torch.randn(6, 2, 700)
    leaks = [(True, 2.0)] if name == "if" else [(True, 2.0), (True, 3.3), (False, 2.7)]
    for reset, detach, (decay_input, tau) in itertools.product(("soft", "hard"), (True, False), leaks):
        node = _node(name, bump, reset=reset, detach=detach, decay_input=decay_input, tau=tau)
        chosen: dict[str, Any] = {"reset": reset, "detach_reset": detach, "surrogate": bump}
        p = population.build(
            name, chosen | ({} if name == "if" else {"decay_input": decay_input, "tau": tau}), backend="fused"
        )
        mine, its = x.clone().requires_grad_(), x.clone().requires_grad_()
        spikes, expected = p(mine), node(its)
        assert torch.equal(spikes, expected)
        (spikes * weight).sum().backward()
        (expected * weight).sum().backward()
        assert mine.grad is not None
        assert its.grad is not None
        assert_close(mine.grad, its.grad)
        if p.w is not None:
            assert abs(float(p.w.grad - node.w.grad)) < 1e-5 * float(its.grad.abs().sum())


@needs_build
def test_a_million_spikes_equal_spikingjelly_s() -> None:
    torch.manual_seed(1)
    x = torch.randn(8, 1 << 18) * 2
    for tau, reset in itertools.product((2.0, 1.7, 10.0), ("soft", "hard")):
        p = population.build("lif", {"tau": tau, "reset": reset}, backend="fused")
        assert torch.equal(p(x), _node("lif", "atan", reset=reset, detach=True, tau=tau)(x))


def _draw(setting: Setting) -> st.SearchStrategy[Any]:
    if setting.choices:
        return st.sampled_from(setting.choices)
    # the middle of the range, in magnitude: its ends are tested by the messages that they give
    return st.floats(max(setting.low or 0.0, 0.05), min(setting.high or 20.0, 20.0))


@st.composite
def _cases(draw: st.DrawFn) -> tuple[str, dict[str, Any], tuple[int, ...], int]:
    name = draw(st.sampled_from(list(POPULATIONS)))
    chosen = {key: draw(_draw(setting)) for key, setting in POPULATIONS[name].settings.items()}
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 3)), draw(st.sampled_from([1, 7, 16, 33, 1025])))
    return name, chosen, shape, draw(st.integers(0, 1000))


@needs_build
@settings(max_examples=60, deadline=None)
@given(_cases())
def test_every_setting_equals_brute_force(case: tuple[str, dict[str, Any], tuple[int, ...], int]) -> None:
    name, chosen, shape, seed = case
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) * 2 * chosen["threshold"]
    weight = torch.randn(shape, generator=generator)
    p = population.build(name, chosen, backend="fused")
    w = None if p.w is None else p.w.detach()
    mine, its = x.clone().requires_grad_(), x.clone().requires_grad_()
    spikes, expected = p(mine), brute_force(its, name, chosen, w)
    assert torch.equal(spikes, expected)
    (spikes * weight).sum().backward()
    (expected * weight).sum().backward()
    assert mine.grad is not None
    assert its.grad is not None
    # neuron by neuron: a sharp surrogate makes of one a thousand times what it makes of its neighbour
    scale = its.grad.abs().amax(dim=0).clamp_min(1e-3)
    assert ((mine.grad - its.grad).abs().amax(dim=0) / scale).max() < 1e-5


@needs_build
def test_the_number_of_threads_changes_nothing() -> None:
    x = torch.randn(4, 3, 5000)
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            p, leaf = population.build("plif", backend="fused"), x.clone().requires_grad_()
            p(leaf).mul(x).sum().backward()
            found.append((leaf.grad, p.w.grad))
    finally:
        torch.set_num_threads(threads)
    for grad, grad_w in found[1:]:
        assert torch.equal(grad, found[0][0])
        assert torch.equal(grad_w, found[0][1])


@needs_build
def test_large_tensors_are_written_past_the_caches_and_equal() -> None:
    x = torch.randn(4, 1 << 20).requires_grad_()
    assert x.nbytes > fused_cpu.STREAM_BYTES
    spikes = population.build("lif", backend="fused")(x)
    small = torch.cat([population.build("lif", backend="fused")(part) for part in x.split(1 << 16, dim=1)], dim=1)
    assert torch.equal(spikes, small)
    grads = [torch.autograd.grad((each * x.detach()).sum(), x)[0] for each in (spikes, small)]
    assert torch.equal(*grads)


@needs_build
def test_a_current_changed_before_backward_is_caught() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    current = x * 2
    spikes = population.build("lif", backend="fused")(current)
    current.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spikes.sum().backward()


@needs_build
def test_what_is_not_a_number_never_fires() -> None:
    x = torch.full((3, 5), float("nan"))
    assert population.build("lif", backend="fused")(x).sum() == 0
