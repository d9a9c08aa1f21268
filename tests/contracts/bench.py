"""One layer on a bench: a small synapse, neurons, a fixed loss above, and plain steps."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from neurons import population
from neurons.settings import Value
from rules.layer import Layer
from rules.registry import Pair
from rules.rule import Root, Signals
from rules.synapse import Synapse

BATCH, CLASSES, SIDE = 6, 3, 6
LEARNING_RATE, DECAY = 0.05, 0.01

SYNAPSES = ("linear", "dense", "strided", "dilated", "grouped", "depthwise")


def synapse(kind: str) -> Synapse:
    """A synapse of this geometry, in double precision, weights of unit gain."""
    if kind == "linear":
        made: Synapse = nn.Linear(10, 8, bias=False)
    else:
        outs, options = {
            "dense": (6, {"padding": 1}),
            "strided": (6, {"padding": 1, "stride": 2}),
            "dilated": (6, {"padding": 2, "dilation": 2}),
            "grouped": (6, {"padding": 1, "groups": 2}),
            "depthwise": (4, {"padding": 1, "groups": 4}),
        }[kind]
        made = nn.Conv2d(4, outs, 3, bias=False, **options)  # type: ignore[arg-type]
    nn.init.normal_(made.weight, 0.0, made.weight[0].numel() ** -0.5)
    return made.double()


def spikes(kind: str, T: int, seed: int = 0) -> Tensor:
    """Random spikes `[T, B, ...]` for that synapse."""
    shape = (10,) if kind == "linear" else (4, SIDE, SIDE)
    return (torch.rand(T, BATCH, *shape, generator=torch.Generator().manual_seed(seed)) < 0.4).double()


def labels(seed: int = 0) -> Tensor:
    return torch.randint(CLASSES, (BATCH,), generator=torch.Generator().manual_seed(seed))


def told(batch: Tensor) -> Signals:
    """What a rule is told of these labels, whatever the readout says."""
    return Signals.of(torch.zeros(1, len(batch), CLASSES), batch)


class Bench:
    """A layer under a fixed random readout; deterministic under `seed`.

    Args:
        pair: the rule.
        kind: one of `SYNAPSES`.
        T: time steps.
        seed: of weights and of what the rule draws.
        settings: of the rule.
        neuron: of the population, with `neuron_settings`.
    """

    def __init__(
        self,
        pair: Pair,
        kind: str = "dense",
        T: int = 4,
        *,
        seed: int = 0,
        settings: Mapping[str, Value] | None = None,
        neuron: str = "lif",
        neuron_settings: Mapping[str, Value] | None = None,
        norm: bool = True,
    ) -> None:
        torch.manual_seed(seed)
        self.pair, self.kind, self.T = pair, kind, T
        made = synapse(kind)
        readout = pair.declaration.readout
        shape = tuple(self._out(made).shape[1:])
        self.layer = Layer(
            made,
            None if readout else population.build(neuron, neuron_settings or {}, backend="plain"),
            pair,
            shape=shape,
            T=T,
            receives=pair.declaration.error == "transported" or pair.transport != "none",
            classes=CLASSES,
            settings=settings,
        ).double()
        if not norm:
            self.layer.norm = nn.Identity()
        self.above = torch.randn(math.prod(shape), CLASSES, dtype=torch.float64)
        self.layer.rule.prepare(self.layer, iter([spikes(kind, T, seed=9)]))

    def _out(self, made: Synapse) -> Tensor:
        x = spikes(self.kind, 1)[0]
        with torch.no_grad():
            return made(x)

    def gradients(self, x: Tensor, y: Tensor, *, above: bool = True, static: bool = False) -> Tensor | None:
        """Fill the gradients of one batch; returns what reaches the input. `above=False` cuts the loss off."""
        x = x.clone().requires_grad_()
        out = self.layer(x, static=static)
        currents = out.flatten(2) @ self.above
        loss = nn.functional.cross_entropy(currents.mean(0), y)
        roots: list[Root] = self.layer.rule.update(self.layer, Signals.of(currents, y))
        if loss.requires_grad and above:
            roots.append((loss, None))
        if roots:
            torch.autograd.backward([t for t, _ in roots], [g for _, g in roots])  # type: ignore[misc]
        return x.grad

    @torch.no_grad()
    def step(self) -> None:
        """Plain gradient descent, with decay where the transport wants it."""
        decay = DECAY if self.pair.transport == "kp" else 0.0
        for p in self.layer.parameters():
            if p.grad is not None:
                p.mul_(1.0 - decay).sub_(LEARNING_RATE * p.grad)
                p.grad = None
        self.layer.after_step(decay)

    def learn(self, steps: int = 1, *, labels_seed: int = 0, start: int = 0) -> Tensor:
        """Some whole steps on different batches; returns the weights."""
        for number in range(start, start + steps):
            self.gradients(spikes(self.kind, self.T, seed=number), labels(labels_seed + number))
            self.step()
        return self.weight.detach().clone()

    @property
    def weight(self) -> Tensor:
        weight: Tensor = self.layer.synapse.weight
        return weight
