"""One time step of every population, in plain torch: the equations that all backends must reproduce.

With membrane potential `v` (after reset), current `x`, adaptation `a`, all of shape `[B, ...]`, all in the same unit:

    charge      if          h = v + x
                lif, alif   h = v + (x - v) / tau            decay_input
                            h = v - v / tau + x              otherwise
                plif        the same with sigmoid(w) for 1 / tau
    threshold   theta = threshold, and for alif threshold + beta a
    fire        u = h - theta,  s = 1 where u >= 0
    reset       hard: v = 0 where s, else h;    soft: v = h - s threshold
    adapt       a = rho a + s,  rho = exp(-1 / tau_adapt)

The order of operations is SpikingJelly's, because spikes have to be equal and a rounding can flip one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from neurons import surrogate
from neurons.settings import Value


class State(NamedTuple):
    """What a population carries from one step to the next; each `[B, ...]`, like one step's current."""

    v: Tensor
    """Membrane potential after the reset."""
    u: Tensor
    """Distance to threshold before the reset, `h - theta`: where a pseudo-derivative is taken."""
    a: Tensor | None
    """Adaptation of alif, else None."""

    def detached(self) -> State:
        """The same values, of which no gradient goes back."""
        return State(self.v.detach(), self.u.detach(), None if self.a is None else self.a.detach())


@dataclass(frozen=True)
class Drive:
    """What one call of a population runs on."""

    current: Tensor
    """`[T, B, ...]`, or `[B, ...]` where `steps` is given."""
    steps: int | None = None
    """T, for a constant current without a time axis."""
    trace: float | None = None
    """What is left of the spikes' trace after a step, where one is wanted."""

    @property
    def frame(self) -> Tensor:
        """One step's current, `[B, ...]`."""
        return self.current[0] if self.steps is None else self.current

    @property
    def length(self) -> int:
        """T."""
        return len(self.current) if self.steps is None else self.steps

    @property
    def time_stride(self) -> int:
        """Numbers between one step's current and the next's: 0 where it is constant."""
        return self.current.stride(0) if self.steps is None else 0

    def empty_sequence(self) -> Tensor:
        """Room for `[T, B, ...]`, each step laid out in memory as the current's."""
        frame = self.frame
        return frame.new_empty_strided((self.length, *frame.shape), (frame.numel(), *frame.stride()))

    def over_time(self) -> Iterator[Tensor]:
        """The current, step by step."""
        return iter(self.current) if self.steps is None else repeat(self.current, self.steps)


@dataclass(frozen=True)
class Dynamics:
    """A population's resolved constants. Times are in steps, potentials in units of the current."""

    kind: str
    threshold: float
    hard: bool
    detach_reset: bool
    surrogate: surrogate.Surrogate
    tau: float = math.inf
    decay_input: bool = False
    tau_adapt: float = math.inf
    beta: float = 0.0

    @classmethod
    def of(cls, kind: str, settings: Mapping[str, Value]) -> Dynamics:
        """From settings that `settings.resolve` has checked."""
        given = dict(settings)
        bump = surrogate.build(str(given.pop("surrogate")), float(given.pop("sharpness")))
        hard = given.pop("reset") == "hard"
        return cls(kind=kind, hard=hard, surrogate=bump, **given)  # type: ignore[arg-type]

    @property
    def rho(self) -> float:
        """What is left of the adaptation after one step."""
        return math.exp(-1 / self.tau_adapt)

    def rest(self, current: Tensor) -> State:
        """The state of neurons that have received nothing yet, for one step's `current`."""
        zero = torch.zeros_like(current)
        return State(zero, zero, zero if self.kind == "alif" else None)

    def charge(self, x: Tensor, v: Tensor, w: Tensor | None) -> Tensor:
        """Potential before firing; `w` is plif's parameter, a scalar."""
        if self.kind == "if":
            return v + x
        if w is not None:
            rate = w.sigmoid()
            return v + (x - v) * rate if self.decay_input else v - v * rate + x
        return v + (x - v) / self.tau if self.decay_input else v - v / self.tau + x

    def step(self, x: Tensor, state: State, w: Tensor | None = None) -> tuple[Tensor, State]:
        """One step from `state` under the current `x` `[B, ...]`: spikes of that shape, and the next state."""
        h = self.charge(x, state.v, w)
        u = h - self.threshold if state.a is None else h - (self.threshold + self.beta * state.a)
        s = self.surrogate(u)
        gate = s.detach() if self.detach_reset else s
        v = (1.0 - gate) * h if self.hard else h - gate * self.threshold
        a = None if state.a is None else self.rho * state.a + s
        return s, State(v, u, a)
