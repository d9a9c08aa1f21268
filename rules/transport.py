"""Transport: which matrix carries the error of a layer's current down to its input.

With y = W x, back-propagation hands dL/dx = W^T dL/dy to the layers below. Every other transport puts a matrix of W's
shape in the place of W in that one product; the layer's own gradient, dL/dW, is untouched. Because only the matrix
changes, each works unaltered for linear, strided, dilated, grouped and depthwise synapses.

    fa    B fixed, drawn like W                         Lillicrap et al. 2016
    usf   sqrt(2 / (fan_in + fan_out)) * sign(W)        Liao et al. 2016; Xiao et al. 2019
    brsf  M * sign(W), M >= 0 redrawn after every step  Liao et al. 2016
    frsf  M * sign(W), M >= 0 fixed                     Liao et al. 2016
    kp    B, which gets W's increments and its decay    Akrout et al. 2019

M is uniform from 0 on, as in BioTorch (Sanfiz and Akrout 2021), with the mean square of the weights at the start. It
decides how far the error that is handed down is from the true one: 46 degrees where weights are normal; half of a
normal distribution, of more small values and more large ones, has 50; one magnitude for all, `usf`, has 37.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from rules.synapse import Synapse, backward, fans, per_channel, run


class Transport(nn.Module):
    """`exact`, and for a layer that hands nothing down, `none`: the synapse itself."""

    def forward(self, synapse: Synapse, x: Tensor, trace: Tensor | None = None) -> Tensor:
        """Current `[N, C', H', W']` or `[N, C']` of input `[N, C, H, W]` or `[N, C]`.

        With `trace`, in the shape of x, the weights' gradient is the error's product with that instead of with x.
        """
        return run(synapse, x) if trace is None else self._carry(synapse, x, trace)

    def feedback(self, weight: Tensor) -> Tensor:
        """The matrix that carries the error at this moment, in the shape of the weight."""
        return weight

    def attach(self, synapse: Synapse) -> None:
        """Draw the feedback, once the weights are drawn."""

    def after_step(self, weight: Tensor, decay: float) -> None:
        """After the optimiser; `decay` is the part of the weight that it took away, learning rate times decay."""

    def _carry(self, synapse: Synapse, x: Tensor, seen: Tensor) -> Tensor:
        feedback = self.feedback(synapse.weight.detach())
        current: Tensor = _Carry.apply(x, synapse.weight, feedback, synapse, seen)  # type: ignore[no-untyped-call]
        return current if synapse.bias is None else current + per_channel(synapse.bias, current, 1)


class _Feedback(Transport):
    """The transports with a matrix of their own."""

    def forward(self, synapse: Synapse, x: Tensor, trace: Tensor | None = None) -> Tensor:
        if trace is None and not x.requires_grad:
            return run(synapse, x)
        return self._carry(synapse, x, x if trace is None else trace)


class FeedbackAlignment(_Feedback):
    """A fixed random matrix with the weights' own distribution at the start."""

    matrix: Tensor

    def attach(self, synapse: Synapse) -> None:
        """See `Transport.attach`."""
        self.register_buffer("matrix", _draw_like(synapse.weight))

    def feedback(self, weight: Tensor) -> Tensor:
        """See `Transport.feedback`."""
        return self.matrix


class UniformSign(_Feedback):
    """The signs of the weights with Xavier's one magnitude."""

    scale: float = 1.0

    def attach(self, synapse: Synapse) -> None:
        """See `Transport.attach`."""
        fan_in, fan_out = fans(synapse)
        self.scale = math.sqrt(2.0 / (fan_in + fan_out))

    def feedback(self, weight: Tensor) -> Tensor:
        """See `Transport.feedback`."""
        return torch.sign(weight) * self.scale


class FixedSign(_Feedback):
    """Fixed random magnitudes with the signs of the weights."""

    magnitude: Tensor

    def attach(self, synapse: Synapse) -> None:
        """See `Transport.attach`."""
        weight = synapse.weight.detach()
        self.register_buffer("magnitude", _magnitudes(torch.empty_like(weight), weight.std(unbiased=False)))

    def feedback(self, weight: Tensor) -> Tensor:
        """See `Transport.feedback`."""
        return torch.sign(weight) * self.magnitude


class BatchSign(FixedSign):
    """Magnitudes redrawn after every step."""

    spread: Tensor

    def attach(self, synapse: Synapse) -> None:
        """See `Transport.attach`."""
        super().attach(synapse)
        self.register_buffer("spread", synapse.weight.detach().std(unbiased=False))

    @torch.no_grad()
    def after_step(self, weight: Tensor, decay: float) -> None:
        """See `Transport.after_step`."""
        _magnitudes(self.magnitude, self.spread)


class KolenPollack(_Feedback):
    """B receives the increments of W and decays as W does, so that B - W dies out (where W does decay)."""

    matrix: Tensor
    before: Tensor

    def attach(self, synapse: Synapse) -> None:
        """See `Transport.attach`."""
        self.register_buffer("matrix", _draw_like(synapse.weight))
        self.register_buffer("before", synapse.weight.detach().clone())

    def feedback(self, weight: Tensor) -> Tensor:
        """See `Transport.feedback`."""
        return self.matrix

    @torch.no_grad()
    def after_step(self, weight: Tensor, decay: float) -> None:
        """See `Transport.after_step`."""
        # w' = (1 - decay) w + dw, so dw = w' - (1 - decay) w, and B' = (1 - decay) B + dw.
        self.matrix.sub_(self.before).mul_(1.0 - decay).add_(weight)
        self.before.copy_(weight)


_KINDS: dict[str, type[Transport]] = {
    "none": Transport,
    "exact": Transport,
    "fa": FeedbackAlignment,
    "usf": UniformSign,
    "brsf": BatchSign,
    "frsf": FixedSign,
    "kp": KolenPollack,
}


def build(name: str) -> Transport:
    """A transport of this name, not yet attached."""
    return _KINDS[name]()


def _draw_like(weight: Tensor) -> Tensor:
    """Normal, with the spread that the weights have now."""
    return torch.randn_like(weight) * weight.detach().std(unbiased=False)


def _magnitudes(out: Tensor, spread: Tensor) -> Tensor:
    """Uniform from 0 to sqrt(3) spreads: their mean square is that of weights with this spread."""
    return out.uniform_().mul_(math.sqrt(3.0) * spread)


class _Carry(torch.autograd.Function):
    """y = W x forward; dL/dx by the feedback matrix, dL/dW by what the weights have seen: x, or its trace."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, feedback: Tensor, synapse: Synapse, seen: Tensor) -> Tensor:
        ctx.save_for_backward(seen, feedback)
        ctx.synapse = synapse
        kind = x.device.type
        ctx.cast = kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        return run(synapse, x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        seen, feedback = ctx.saved_tensors
        down, up = ctx.needs_input_grad[:2]
        kind, dtype, enabled = ctx.cast
        with torch.autocast(kind, dtype, enabled):
            return *backward(ctx.synapse, grad, seen, feedback, down=down, up=up), None, None, None
