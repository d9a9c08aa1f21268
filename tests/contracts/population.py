"""What every population owes, on every backend. Inherit `PopulationContract`, name both, and get the tests."""

from __future__ import annotations

import copy
import io
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from neurons import population, surrogate
from neurons.population import Population
from neurons.registry import POPULATIONS
from neurons.settings import Value, resolve


def brute_force(x: Tensor, name: str, settings: Mapping[str, Value], w: Tensor | None = None) -> Tensor:
    """The definition, a step at a time. `slope` minus itself is zero, and carries the gradient."""
    p: dict[str, Any] = resolve(settings, POPULATIONS[name].settings, name)
    bump = surrogate.build(p["surrogate"], p["sharpness"])
    v, a, out = torch.zeros_like(x[0]), torch.zeros_like(x[0]), []
    for current in x:
        if name == "if":
            h = v + current
        else:
            leaked = (current - v) if p["decay_input"] else -v
            leaked = leaked * torch.sigmoid(w) if w is not None else leaked / p["tau"]
            h = v + leaked if p["decay_input"] else v + leaked + current
        u = h - (p["threshold"] + (p["beta"] * a if name == "alif" else 0.0))
        slope = bump.derivative(u).detach() * u
        s = (u >= 0).to(x) + (slope - slope.detach())
        gate = s.detach() if p["detach_reset"] else s
        v = (1 - gate) * h if p["reset"] == "hard" else h - gate * p["threshold"]
        a = math.exp(-1 / p["tau_adapt"]) * a + s if name == "alif" else a
        out.append(s)
    return torch.stack(out)


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Equal to `tolerance` of the largest expected value."""
    scale = max(float(expected.abs().max()), 1e-3)
    assert float((found - expected).abs().max()) <= tolerance * scale


class PopulationContract:
    """Subclass with `name` and `backend`; `device` where that is not the CPU."""

    name: str
    backend: str
    device = "cpu"
    surrogates: tuple[str, ...] = ("atan", "triangle")

    def build(self, **settings: Value) -> Population:
        return population.build(self.name, settings, backend=self.backend).to(self.device)

    def variants(self) -> Iterator[dict[str, Value]]:
        """Settings that between them take every branch."""
        taus = ({},) if self.name == "if" else ({"tau": 2.0}, {"tau": 3.3, "decay_input": False})
        for tau, reset, detach, bump in itertools.product(taus, ("soft", "hard"), (True, False), self.surrogates):
            yield {**tau, "reset": reset, "detach_reset": detach, "surrogate": bump, "threshold": 0.9}

    def current(self, *shape: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return (torch.randn(shape, generator=generator) * 1.5 + 0.3).to(self.device)

    def test_runs_what_was_asked_for(self) -> None:
        p = self.build()
        p(self.current(2, 3, 4))
        assert p.backend == self.backend

    @pytest.mark.parametrize("shape", [(1, 1), (4, 3, 5), (3, 2, 3, 4, 5), (6, 2, 1031), (2, 3, 7, 150)])
    def test_spikes_have_the_shape_of_the_current(self, shape: tuple[int, ...]) -> None:
        x = self.current(*shape)
        s = self.build()(x)
        assert s.shape == x.shape
        assert s.dtype == x.dtype
        assert set(s.unique().tolist()) <= {0.0, 1.0}

    @pytest.mark.parametrize("training", [True, False])
    def test_spikes_and_gradients_equal_brute_force(self, training: bool) -> None:
        x, weight = self.current(5, 2, 3, 67), self.current(5, 2, 3, 67, seed=1)
        for settings in self.variants():
            p = self.build(**settings).train(training)
            mine, its = x.clone().requires_grad_(), x.clone().requires_grad_()
            w = None if p.w is None else p.w.detach().clone().requires_grad_()
            spikes, expected = p(mine), brute_force(its, self.name, settings, w)
            assert torch.equal(spikes, expected), settings
            assert 0 < spikes.mean() < 1
            (spikes * weight).sum().backward()
            (expected * weight).sum().backward()
            assert mine.grad is not None
            assert its.grad is not None
            assert_close(mine.grad, its.grad)
            if p.w is not None and w is not None:
                assert p.w.grad is not None
                assert w.grad is not None
                assert p.w.grad.shape == w.grad.shape
                assert abs(float(p.w.grad - w.grad)) < 1e-5 * float(its.grad.abs().sum())

    def test_forward_equals_its_own_steps(self) -> None:
        x = self.current(6, 2, 9)
        for settings in self.variants():
            p, state, spikes = self.build(**settings), None, []
            for current in x:
                s, state = p.step(current, state)
                spikes.append(s)
            assert torch.equal(p(x), torch.stack(spikes))

    def test_advancing_is_a_step_whose_gradient_goes_to_its_own_current(self) -> None:
        x, weight = self.current(3, 2, 700), self.current(2, 700, seed=1)
        for settings in self.variants():
            p, state = self.build(**settings), None
            own = () if p.w is None else (p.w,)
            for current in x:
                leaf = current.clone().requires_grad_()
                expected, after = p.step(leaf, state)
                found, advanced = p.advance(leaf, state)
                assert torch.equal(found, expected), settings
                for part, mine in zip(after, advanced, strict=True):
                    assert (part is None) == (mine is None)
                    assert mine is None or (not mine.requires_grad and torch.equal(mine, part)), settings
                grads = [torch.autograd.grad((s * weight).sum(), (leaf, *own)) for s in (expected, found)]
                for grad, mine in zip(*grads, strict=True):
                    assert_close(mine, grad)
                state = advanced
            turned, state = x[0].mT, p.step(x[1].T.contiguous())[1]
            leaf = turned.clone(memory_format=torch.preserve_format).requires_grad_()
            assert leaf.stride() == turned.stride()
            expected, after = p.step(leaf, state)
            spikes, advanced = p.advance(leaf, state)
            assert torch.equal(spikes, expected), "any layout of current and state"
            assert all(mine is None or torch.equal(mine, part) for part, mine in zip(after, advanced, strict=True))
            assert p.advance(leaf)[0].stride() == turned.stride()
            other = weight.T.contiguous()  # and of the gradient
            grads = [torch.autograd.grad((s * other).sum(), leaf)[0] for s in (expected, spikes)]
            assert_close(grads[1], grads[0])

    def test_what_advances_sends_nothing_to_the_step_before(self) -> None:
        p = self.build()
        before = self.current(1, 2, 9)[0].requires_grad_()
        s = p.advance(self.current(1, 2, 9, seed=1)[0], p.step(before)[1])[0]
        assert not s.requires_grad or torch.autograd.grad(s.sum(), before, allow_unused=True)[0] is None

    def test_a_state_of_other_images_is_an_error_or_broadcast(self) -> None:
        p, x = self.build(), self.current(1, 8, 9)[0]
        with pytest.raises(RuntimeError):
            p.advance(x, p.step(x[:4])[1])
        one = p.step(x[:1])[1]
        assert torch.equal(p.advance(x, one)[0], p.step(x, one)[0])

    def test_nothing_is_remembered(self) -> None:
        p, x = self.build(tau=5.0) if self.name != "if" else self.build(), self.current(4, 2, 50)
        first = p(x)
        p(self.current(3, 5, 7, seed=2))
        assert torch.equal(p(x), first)

    def test_without_gradient_the_same_spikes(self) -> None:
        p, x = self.build(), self.current(4, 2, 50)
        with torch.no_grad():
            bare = p(x)
        assert not bare.requires_grad
        assert torch.equal(bare, p(x.requires_grad_()))

    def test_it_fires_at_the_threshold_and_is_silent_without_current(self) -> None:
        p = self.build(threshold=0.5, **({} if self.name == "if" else {"decay_input": False}))
        assert p(torch.full((1, 1, 1), 0.5, device=self.device)).item() == 1.0
        assert p(torch.zeros(5, 2, 3, device=self.device)).sum() == 0

    def test_a_constant_current_needs_no_time_axis(self) -> None:
        for settings in self.variants():
            p, frame = self.build(**settings), self.current(2, 3, 41).requires_grad_()
            weight = self.current(4, 2, 3, 41, seed=3)
            grads = []
            for run in (
                lambda p=p, frame=frame: p(frame, steps=4),
                lambda p=p, frame=frame: p(frame.expand(4, *frame.shape)),
                lambda p=p, frame=frame: p(frame.expand(4, *frame.shape).clone()),
            ):
                spikes = run()
                grads.append((spikes, torch.autograd.grad((spikes * weight).sum(), frame)[0]))
            for spikes, grad in grads[:2]:
                assert torch.equal(spikes, grads[2][0])
                assert_close(grad, grads[2][1])

    def test_the_trace_is_a_low_pass_of_the_spikes(self) -> None:
        x = self.current(6, 2, 70).requires_grad_()
        p = self.build()
        spikes, trace = p.forward_with_trace(x, 0.6)
        expected = torch.zeros_like(trace[0])
        for s, r in zip(spikes.detach(), trace, strict=True):
            expected = 0.6 * expected + s
            assert_close(r, expected, 1e-6)
        assert torch.equal(spikes, p(x))
        assert spikes.requires_grad
        assert not trace.requires_grad

    def test_memory_layout_does_not_matter(self) -> None:
        p, x = self.build(), self.current(3, 2, 4, 6, 5)
        expected, grads = None, []
        for each in (
            x,
            x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (3, 2)),
            x.transpose(0, 1).contiguous().transpose(0, 1),
            torch.stack([x, x], -1)[..., 0],
        ):
            leaf = each.detach().requires_grad_()
            spikes = p(leaf)
            expected = spikes if expected is None else expected
            assert torch.equal(spikes, expected)
            grads.append(torch.autograd.grad((spikes * x).sum() + spikes.mean(0).square().sum(), leaf)[0])
        for grad in grads[1:]:
            assert_close(grad, grads[0])

    def test_every_layout_of_the_gradient(self) -> None:
        p, x = self.build(), self.current(4, 2, 30).requires_grad_()
        weight = self.current(2, 30, seed=4)
        for grad in (weight.expand(4, 2, 30), torch.ones((), device=self.device).expand(4, 2, 30)):
            found = torch.autograd.grad(p(x), x, grad)[0]
            assert_close(found, torch.autograd.grad(p(x), x, grad.clone())[0], 1e-6)

    def test_it_can_be_copied_and_saved(self) -> None:
        p, x = self.build(threshold=0.7), self.current(4, 2, 50)
        expected = p(x)
        if p.w is not None:
            with torch.no_grad():
                p.w.add_(1.0)
        buffer = io.BytesIO()
        torch.save(p.state_dict(), buffer)
        buffer.seek(0)
        other = self.build(threshold=0.7)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        assert torch.equal(other(x), p(x))
        assert torch.equal(copy.deepcopy(p)(x), p(x))
        assert (p.w is None) == torch.equal(p(x), expected)
