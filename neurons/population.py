"""A population of spiking neurons as a torch module: currents in, spikes out, nothing remembered in between.

SpikingJelly's nodes keep their potential until `reset_net` is called, and a forgotten call leaks one batch into the
next without a sign. Here `forward` always starts from rest, and whoever steps by hand holds the state by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurons import backends, fused, registry
from neurons.dynamics import Drive, Dynamics, State
from neurons.settings import Value, resolve


class Population(nn.Module):
    """Spiking neurons with one set of constants; `neurons.dynamics` has the equations.

    Make one with `build`. Gradients follow the surrogate in training and in evaluation mode alike.
    """

    def __init__(self, name: str, settings: Mapping[str, Value], requested: str) -> None:
        super().__init__()
        self.name = name
        self.settings = dict(settings)
        self.requested = requested
        self.dynamics = Dynamics.of(name, settings)
        if name == "plif":
            # 1 / tau = sigmoid(w), so that tau stays above 1 whatever an optimiser does (Fang et al. 2021, section 4.1)
            self.w: Tensor | None = nn.Parameter(torch.tensor(-math.log(self.dynamics.tau - 1.0)))
        else:
            self.w = None
        self._backend = backends.choose(requested, self.dynamics, backends.likely_device(requested), torch.float32)

    @property
    def backend(self) -> str:
        """What ran the last `forward`; before the first one, what will run a float32 current on this machine."""
        return self._backend

    def forward(self, current: Tensor, steps: int | None = None) -> Tensor:
        """Run all steps from rest.

        Args:
            current: `[T, B, ...]`; it may be expanded along T. With `steps`, a constant current `[B, ...]`: then the
                gradient too has that shape, and neither is ever spread over time.
            steps: T, where the current has no time axis.

        Returns:
            Spikes, 0 or 1, `[T, B, ...]`, of the current's type.

        Raises:
            UserError: the backend that was asked for does not run on this device or type.
        """
        return self._run(Drive(current, steps))[0]

    def forward_with_trace(self, current: Tensor, decay: float, steps: int | None = None) -> tuple[Tensor, Tensor]:
        """Run all steps from rest, and low-pass the spikes on the way.

        Args:
            current: as in `forward`.
            decay: what is left of the trace after one step, in [0, 1]; `exp(-1 / tau)` for a time constant.
            steps: as in `forward`.

        Returns:
            Spikes and `trace[t] = decay * trace[t-1] + spikes[t]`, both `[T, B, ...]`; the trace carries no gradient.

        Raises:
            UserError: as `forward`.
        """
        spikes, trace = self._run(Drive(current, steps, decay))
        assert trace is not None
        return spikes, trace

    def step(self, current: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run one step, whatever the backend in plain torch, so that gradients may pass through the state.

        Args:
            current: `[B, ...]`.
            state: what the step before returned; None is rest.

        Returns:
            Spikes `[B, ...]` and the next state.
        """
        return self.dynamics.step(current, self.dynamics.rest(current) if state is None else state, self.w)

    def advance(self, current: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run one step whose gradient goes to this step's current alone: what learns online asks for no more.

        On a CPU it is one pass of the `fused` backend, where that is what runs `forward`, and else plain torch.

        Args:
            current: `[B, ...]`.
            state: what the step before returned; None is rest.

        Returns:
            Spikes `[B, ...]` and the next state, detached.

        Raises:
            UserError: as `forward`.
        """
        state = (self.dynamics.rest(current) if state is None else state).detached()
        if self._choose(current) == "fused" and self.w is None and current.device.type == "cpu":
            return fused.advance(self.dynamics, current, state)
        s, state = self.dynamics.step(current, state, self.w)
        return s, state.detached()

    @property
    def decay(self) -> Tensor | float:
        """`dh[t] / dv[t-1]`: what is left of the potential after one step."""
        if self.name == "if":
            return 1.0
        return 1.0 - (1.0 / self.dynamics.tau if self.w is None else self.w.sigmoid())

    @property
    def gain(self) -> Tensor | float:
        """`dh[t] / dx[t]`: potential per unit of current."""
        if not self.dynamics.decay_input:
            return 1.0
        return 1.0 / self.dynamics.tau if self.w is None else self.w.sigmoid()

    def extra_repr(self) -> str:
        """The name, what differs from the defaults, and the backend."""
        defaults = registry.declaration(self.name).settings
        changed = [f"{key}={value}" for key, value in self.settings.items() if value != defaults[key].default]
        return ", ".join([self.name, *changed, f"backend={self.backend}"])

    def _run(self, drive: Drive) -> tuple[Tensor, Tensor | None]:
        self._backend = self._choose(drive.current)
        return backends.RUN[self._backend](self.dynamics, drive, self.w)

    def _choose(self, current: Tensor) -> str:
        return backends.choose(self.requested, self.dynamics, current.device, current.dtype)


def build(name: str, settings: Mapping[str, Value] | None = None, *, backend: str = "auto") -> Population:
    """Make a population.

    Args:
        name: one of `registry.POPULATIONS`.
        settings: those that differ from the declared defaults.
        backend: one of `registry.BACKENDS`. A named one runs or is an error; `auto` takes the fastest for where the
            current lies, and `Population.backend` says which.

    Raises:
        UserError: an unknown name, setting or backend, a value out of range, or a backend that cannot run here.
    """
    declared = registry.declaration(name)
    return Population(name, resolve(settings or {}, declared.settings, name), backend)
