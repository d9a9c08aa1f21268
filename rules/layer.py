"""A layer: synapse, norm, population, and the rule by which the synapse learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurons.dynamics import State
from neurons.population import Population
from neurons.settings import Value
from rules import transport
from rules.norm import NormTrace, normed, normed_step, traced_step
from rules.registry import Optimiser, Pair, implementation
from rules.synapse import Synapse


@dataclass(frozen=True, slots=True)
class Record:
    """What a training forward left for the rule.

    Attributes:
        input: `[T, B, ...]` or, where it is the same at every step, `[B, ...]`.
        output: spikes `[T, B, ...]`, still attached to this layer's own graph; for a readout, its currents.
        current: what drove the neurons, `[T, B, ...]` or static `[B, ...]`; detached. None where the rule reads the
            output alone: gradient checkpointing saves memory only where nobody holds it.
        normed: the part of it that came through the synapse and the norm, without shortcuts; detached, or None.
    """

    input: Tensor
    output: Tensor
    current: Tensor | None = None
    normed: Tensor | None = None

    @property
    def static(self) -> bool:
        """Whether the input is the same at every step, and has no time axis."""
        return self.input.dim() < self.output.dim()

    @property
    def mean_input(self) -> Tensor:
        """`[B, ...]`, the input's average over time."""
        return self.input if self.static else self.input.mean(0)

    @property
    def mean_current(self) -> Tensor:
        """`[B, ...]`, the current's average over time."""
        assert self.current is not None, 'the rule declares reads = "all"'
        return self.current if self.static else self.current.mean(0)


class Moment(NamedTuple):
    """What a layer carries from one step to the next. No gradient passes through it."""

    state: State | None = None
    """The neurons'; None is rest."""
    trace: Tensor | float = 0.0
    """`trace[t] = decay trace[t-1] + x[t]`, `[B, ...]`, of the input; of the number 1 where the input is static."""
    norm: NormTrace = NormTrace()
    """The norm's, where the rule trains that."""


class Layer(nn.Module):
    """One layer of a network.

    Args:
        synapse: Conv2d or Linear.
        population: the spiking neurons, or None for a readout, whose current is the output.
        pair: the rule, update and transport.
        shape: of the output, without time and batch: `(C, H, W)` or `(N,)`.
        T: time steps, to which a static current is stretched.
        receives: whether an error from above may enter this layer's output.
        random: whether that error comes through a fixed random matrix.
        classes: number of output classes, for rules with a head or a broadcast matrix.
        settings: the rule's settings.
    """

    record: Record | None = None

    def __init__(
        self,
        synapse: Synapse,
        population: Population | None,
        pair: Pair,
        *,
        shape: tuple[int, ...],
        T: int,
        receives: bool,
        random: bool = False,
        classes: int,
        settings: Mapping[str, Value] | None = None,
    ) -> None:
        super().__init__()
        self.pair, self.shape, self.T, self.receives, self.random = pair, shape, T, receives, random
        self.synapse = synapse
        norms = pair.declaration.norms
        self.norm = nn.Identity() if population is None else _norm(synapse, affine=norms != "fixed")
        self.population = population
        self.rule = implementation(pair.declaration)(pair.declaration, settings)
        self.transport = transport.build(pair.transport)
        if not pair.declaration.learns:
            synapse.requires_grad_(False)
        if population is not None and norms != "error":
            population.requires_grad_(False)
        self.transport.attach(synapse)
        self.rule.attach(self, classes)

    @property
    def optimiser(self) -> Optimiser:
        """How the weights step."""
        declared = self.rule.optimiser(self.pair.optimiser)
        return declared.to_align() if self.random else declared

    @property
    def differentiable(self) -> bool:
        """Whether a backward pass ever goes through this layer."""
        return self.pair.declaration.update == "gradient" or self.pair.transport != "none"

    def forward(self, x: Tensor, *shortcuts: Tensor, static: bool = False) -> Tensor:
        """Spikes `[T, B, ...]` of an input `[T, B, ...]`, or `[B, ...]` where it is `static`.

        Shortcuts are added to the current. A readout gives its current `[T, B, classes]`.
        """
        if self.rule.by_steps and self.training:
            return self._by_steps(x, *shortcuts, static=static)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.differentiable):
            carries = self.pair.transport != "none"
            source = x if carries else x.detach()
            if static:
                current = normed(self.norm, self.transport(self.synapse, source))
            else:
                current = normed(self.norm, self.transport(self.synapse, source.flatten(0, 1)))
                current = current.unflatten(0, x.shape[:2])  # type: ignore[no-untyped-call]
            own = current
            for shortcut in shortcuts:
                current = current + (shortcut if carries else shortcut.detach())
            output: Tensor
            if self.population is not None:
                output = self.population(current, self.T if static else None)
            else:
                output = current.expand(self.T, *current.shape) if static else current
        self._keep(x, output, current, own)
        return output if self.receives or self.population is None else output.detach()

    def _keep(self, x: Tensor, output: Tensor, current: Tensor, own: Tensor) -> None:
        """Keep what the rule reads; x is referenced by whoever made it anyway."""
        if self.training and self.rule.reads != "nothing":
            currents = (current.detach(), own.detach()) if self.rule.reads == "all" else ()
            self.record = Record(x.detach(), output, *currents)

    def drive(self, x: Tensor) -> Tensor:
        """The current `[B, ...]` of a static input, through the norm: computed once, and handed to every `step`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._differentiable_in_a_step):
            source = x if self.pair.transport != "none" else x.detach()
            return normed(self.norm, self.transport(self.synapse, source))

    def step(self, x: Tensor, *shortcuts: Tensor, moment: Moment, drive: Tensor | None = None) -> tuple[Tensor, Moment]:
        """One step: spikes `[B, ...]` of an input `[B, ...]`, or a readout's current.

        An error at these spikes goes to this step's current alone, through the surrogate, and from there down by the
        transport: through space, not through time. Where the rule is `traced`, the weights take it with the trace of
        their input, which makes up for time: with soft and detached reset, `dh[t] / dW = gain trace[t]`. So do a norm's
        scale and shift, where the rule trains those.

        Args:
            x: the input; at this step, or at every step where there is a `drive`.
            shortcuts: added to the current.
            moment: what the step before returned; `Moment()` at first.
            drive: what `drive` returned, where x is static.
        """
        carries = self.pair.transport != "none"
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._differentiable_in_a_step):
            trace: Tensor | float = 1.0
            norm_trace = moment.norm
            decay: Tensor | float = 0.0
            if self.rule.traced and self.population is not None:
                rate = self.population.decay
                decay = rate.detach().double() if isinstance(rate, Tensor) else rate  # where it lies: none waits for it
                trace = decay * moment.trace + (x.detach() if drive is None else 1.0)
            if drive is None:
                source = x if carries else x.detach()
                current = self.transport(self.synapse, source, trace if isinstance(trace, Tensor) else None)
                if self.pair.declaration.norms == "rule":
                    current, norm_trace = traced_step(self.norm, current, self.T, moment.norm, decay)
                else:
                    current = normed_step(self.norm, current, self.T)
            else:
                current = _weighed(drive, trace)
            own = current
            for shortcut in shortcuts:
                current = current + (shortcut if carries else shortcut.detach())
            output, state = current, moment.state
            if self.population is not None:
                output, state = self.population.advance(current, state)
        self._keep(x, output, current, own)
        hidden = self.population is not None and not self.receives
        return output.detach() if hidden else output, Moment(state, trace, norm_trace)

    def _by_steps(self, x: Tensor, *shortcuts: Tensor, static: bool) -> Tensor:
        drive = self.drive(x) if static else None
        moment, outputs = Moment(), []
        for t in range(self.T if static else len(x)):
            now = (each[t] if each.dim() == len(self.shape) + 2 else each for each in (x, *shortcuts))
            output, moment = self.step(*now, moment=moment, drive=drive)
            outputs.append(output)
        return torch.stack(outputs)

    @property
    def _differentiable_in_a_step(self) -> bool:
        return self.differentiable or self.rule.traced

    def after_step(self, decay: float) -> None:
        """After the optimiser, which took `decay` times the weights away."""
        self.transport.after_step(self.synapse.weight.detach(), decay)
        self.rule.after_step(self)
        self.record = None


def _weighed(x: Tensor, weight: Tensor | float) -> Tensor:
    """x, with its gradient times `weight`."""
    x = x.view_as(x)
    if x.requires_grad:
        x.register_hook(lambda gradient: weight * gradient)  # type: ignore[no-untyped-call]
    return x


def _norm(synapse: Synapse, *, affine: bool) -> nn.Module:
    if isinstance(synapse, nn.Linear):
        return nn.BatchNorm1d(synapse.out_features, affine=affine)
    return nn.BatchNorm2d(synapse.out_channels, affine=affine)
