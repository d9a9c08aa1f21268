"""Each transport is the matrix that it says, in the one product that it changes."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from rules import transport
from rules.registry import CARRIERS, pair
from tests.contracts.bench import SYNAPSES, Bench, labels, spikes, synapse
from tests.rules.brute import dense

FEEDBACK = ("fa", "usf", "brsf", "frsf", "kp")


def backward(name: str, kind: str) -> tuple[torch.Tensor, torch.Tensor, transport.Transport, nn.Module, torch.Tensor]:
    """dL/dx, dL/dW, the transport, the synapse, and the error at the current."""
    torch.manual_seed(0)
    made = synapse(kind)
    carrier = transport.build(name)
    carrier.attach(made)
    x = spikes(kind, 1)[0].requires_grad_()
    current = carrier(made, x)
    error = torch.randn(current.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    current.backward(error)
    assert x.grad is not None
    return x.grad, made.weight.grad, carrier, made, error


@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("name", ["exact", *FEEDBACK])
def test_the_error_goes_down_by_the_transports_matrix(name: str, kind: str) -> None:
    down, _, carrier, made, error = backward(name, kind)
    matrix = carrier.feedback(made.weight.detach())
    expected = error.flatten(1) @ dense(made, matrix, tuple(down.shape[1:]), tuple(error.shape[1:]))
    torch.testing.assert_close(down.flatten(1), expected)


@pytest.mark.parametrize("kind", SYNAPSES)
@pytest.mark.parametrize("name", FEEDBACK)
def test_the_layers_own_gradient_is_that_of_bp_to_the_bit(name: str, kind: str) -> None:
    assert torch.equal(backward(name, kind)[1], backward("exact", kind)[1])


@pytest.mark.parametrize("name", FEEDBACK)
def test_the_own_gradient_of_a_whole_layer_is_that_of_bp_to_the_bit(name: str) -> None:
    found = []
    for transported in ("exact", name):
        bench = Bench(pair("gradient", transported))
        torch.manual_seed(3)
        bench.above = torch.randn_like(bench.above)
        bench.gradients(spikes("dense", 4), labels())
        found.append(bench.weight.grad)
    assert torch.equal(*found)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SYNAPSES)
def test_fa_with_the_transposed_weights_is_bp(kind: str) -> None:
    found = []
    for name in ("bp", "fa"):
        bench = Bench(pair(name), kind)
        if name == "fa":
            bench.layer.transport.matrix.copy_(bench.weight.detach())
        torch.manual_seed(3)
        bench.above = torch.randn_like(bench.above)
        found.append((bench.gradients(spikes(kind, 4), labels()), bench.weight.grad))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("kind", SYNAPSES)
def test_the_matrices_are_those_of_the_papers(kind: str) -> None:
    made = synapse(kind)
    weight = made.weight.detach()
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    if not isinstance(made, nn.Linear):
        fan_out //= made.groups
    found = {}
    for name in FEEDBACK:
        carrier = transport.build(name)
        carrier.attach(made)
        found[name] = carrier.feedback(weight)
    torch.testing.assert_close(found["usf"], (2 / (fan_in + fan_out)) ** 0.5 * weight.sign())
    for name in ("brsf", "frsf"):
        assert torch.equal(found[name].sign(), weight.sign())
        assert found[name].abs().std() > 0
    for matrix in found.values():
        # none lets the error grow or vanish by its size
        assert 0.3 < float(matrix.square().mean() / weight.square().mean()) < 3


@pytest.mark.parametrize(("name", "degrees"), [("usf", 37.1), ("frsf", 46.3), ("brsf", 46.3)])
def test_signs_are_as_near_to_normal_weights_as_their_formula_says(name: str, degrees: float) -> None:
    # E|W|M / sqrt(E W^2 E M^2) is sqrt(2/pi) where M is one value, and sqrt(3)/2 of that where it is uniform from 0 on
    torch.manual_seed(0)
    made = nn.Linear(300, 300, bias=False)
    nn.init.normal_(made.weight, std=300**-0.5)
    weight, carrier = made.weight.detach(), transport.build(name)
    carrier.attach(made)
    for _ in range(2):
        feedback = carrier.feedback(weight)
        cosine = nn.functional.cosine_similarity(feedback.flatten(), weight.flatten(), dim=0)
        assert math.degrees(math.acos(float(cosine))) == pytest.approx(degrees, abs=0.3)
        assert float(feedback.norm() / weight.norm()) == pytest.approx(1, abs=0.01)
        carrier.after_step(weight, 0.0)


def test_frsf_follows_the_signs_and_keeps_its_magnitudes() -> None:
    made = synapse("dense")
    carrier = transport.build("frsf")
    carrier.attach(made)
    before = carrier.feedback(made.weight.detach())
    carrier.after_step(made.weight.detach(), 0.0)
    assert torch.equal(carrier.feedback(-made.weight.detach()), -before)


def test_brsf_draws_anew_after_every_step() -> None:
    made = synapse("dense")
    carrier = transport.build("brsf")
    carrier.attach(made)
    before = carrier.feedback(made.weight.detach())
    carrier.after_step(made.weight.detach(), 0.0)
    after = carrier.feedback(made.weight.detach())
    assert not torch.equal(before, after)
    assert torch.equal(before.sign(), after.sign())


def test_fa_never_changes() -> None:
    bench = Bench(pair("fa"))
    before = bench.layer.transport.matrix.clone()
    bench.learn(3)
    assert torch.equal(bench.layer.transport.matrix, before)


@pytest.mark.parametrize("kind", SYNAPSES)
def test_kps_feedback_converges_to_the_weights(kind: str) -> None:
    bench = Bench(pair("kp"), kind)
    distances = [float((bench.layer.transport.matrix - bench.weight.detach()).norm())]
    for block in range(3):
        bench.learn(20, start=20 * block)
        distances.append(float((bench.layer.transport.matrix - bench.weight.detach()).norm()))
    for before, after in pairwise(distances):
        assert after == pytest.approx(before * (1 - 0.01) ** 20)  # B - W decays, and by nothing else


def test_kp_has_a_decay_wherever_the_weights_are_trained() -> None:
    for name in ("gradient", "delta"):
        assert pair(name, "kp").optimiser.decay(1000) > 0


def test_no_pair_of_frozen_with_kp() -> None:
    assert "kp" not in pair("frozen").declaration.transports
    assert set(CARRIERS) - set(pair("frozen").declaration.transports) == {"kp"}
