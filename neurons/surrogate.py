"""The spike, and the five pseudo-derivatives that stand in for its derivative.

A neuron fires where `u = h - theta`, its distance to threshold, is not negative: `s = H(u)`, and H'(u) is zero almost
everywhere. Surrogate-gradient learning (Neftci et al. 2019, IEEE SPM 36(6), arXiv 1901.09948) puts a bump in its place.

Every bump here is `k g(k u)`, with `k` the sharpness and `g(0) = 1`: at k = 1 they have one height and about one width,
so they can be exchanged without touching a learning rate, and they equal SpikingJelly's at its defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from neurons.registry import SURROGATES


class _Spike(torch.autograd.Function):
    """`H(u)` forward; backward the gradient times the pseudo-derivative."""

    @staticmethod
    def forward(u: Tensor, surrogate: Surrogate) -> Tensor:
        return (u >= 0).to(u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        u, ctx.surrogate = inputs
        ctx.save_for_backward(u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grad * ctx.surrogate.derivative(u), None


@dataclass(frozen=True)
class Surrogate:
    """A spike function: the configuration is the callable."""

    sharpness: float = 1.0
    name: ClassVar[str]

    def __call__(self, u: Tensor) -> Tensor:
        """Spikes of `u`'s shape and type: 1 where `u >= 0`, else 0, with `derivative` as gradient."""
        spikes: Tensor = _Spike.apply(u, self)  # type: ignore[no-untyped-call]
        return spikes

    def derivative(self, u: Tensor) -> Tensor:
        """The pseudo-derivative at distance `u` from threshold, elementwise, in spikes per unit of potential."""
        raise NotImplementedError

    @property
    def code(self) -> int:
        """The number by which the kernels know it."""
        return SURROGATES.index(self.name)


class ATan(Surrogate):
    """`k / (1 + (pi k u)^2)`: Fang et al. 2021, arXiv 2007.05785, equation 11 with alpha = 2 k."""

    name = "atan"

    def derivative(self, u: Tensor) -> Tensor:
        """See `Surrogate.derivative`."""
        return self.sharpness / (1 + (math.pi * self.sharpness * u).square())


class Sigmoid(Surrogate):
    """`4 k p (1 - p)` with `p = 1 / (1 + exp(-4 k u))`: Zenke and Vogels 2021, with beta = 4 k."""

    name = "sigmoid"

    def derivative(self, u: Tensor) -> Tensor:
        """See `Surrogate.derivative`."""
        ku = 4 * self.sharpness * u
        return 4 * self.sharpness * torch.sigmoid(ku) * torch.sigmoid(-ku)  # 1 - p, without the cancellation


class Triangle(Surrogate):
    """`k max(0, 1 - k |u|)`, the derivative of a piecewise quadratic: Esser et al. 2016, Bellec et al. 2018."""

    name = "triangle"

    def derivative(self, u: Tensor) -> Tensor:
        """See `Surrogate.derivative`."""
        return self.sharpness * (1 - self.sharpness * u.abs()).clamp_min(0)


class FastSigmoid(Surrogate):
    """`k / (1 + k |u|)^2`: SuperSpike, Zenke and Ganguli 2018, Neural Computation 30, section 2.2."""

    name = "fast_sigmoid"

    def derivative(self, u: Tensor) -> Tensor:
        """See `Surrogate.derivative`."""
        return self.sharpness / (1 + self.sharpness * u.abs()).square()


class Rectangle(Surrogate):
    """`k` where `|u| < 1 / (2 k)`, else 0: Wu et al. 2018, Frontiers in Neuroscience 12:331, h1."""

    name = "rectangle"

    def derivative(self, u: Tensor) -> Tensor:
        """See `Surrogate.derivative`."""
        return self.sharpness * (u.abs() < 0.5 / self.sharpness).to(u.dtype)


_KINDS: dict[str, type[Surrogate]] = {each.name: each for each in (ATan, Sigmoid, Triangle, FastSigmoid, Rectangle)}


def build(name: str, sharpness: float = 1.0) -> Surrogate:
    """The surrogate of that name, one of `registry.SURROGATES`."""
    return _KINDS[name](sharpness)
