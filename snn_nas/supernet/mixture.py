"""The supernet as a network: every choice runs, and each mix weighs what comes out by its probability.

Two kinds of gradient are taken of it, and never mixed:

- *Weights* learn by their own layer's rule (`snn_nas.training.learn`, as in any network): each layer hands its error
  down by its own transport, and those that take none from above write their own change. What a layer gets is scaled by
  its probability; optimisers that divide by the gradient's size do not mind.
- *Architecture weights* get the exact gradient of the loss, with every layer transporting exactly, whatever its rule:
  through altered feedback it would be the gradient of nothing (`exact`). Layers that never take an error, such as
  those under `stdp` or `frozen`, are run through by it like the rest: only their weights are out of its reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from rules.layer import Layer
from rules.synapse import run
from snn_nas.graph import Node
from snn_nas.network import Network
from snn_nas.supernet.blueprint import Blueprint


class Mixture(Network):
    """A network whose `add` nodes are mixes, and whose architecture weights start equal.

    Args:
        blueprint: of a space.
        normalise: see `Network`.
        backend: see `Network`.
    """

    _factors: Tensor
    """`[products, factors]`, indices of choices; the one after the last stands for a factor of 1."""
    _owner: Tensor
    """`[products]`, the option that each belongs to."""

    def __init__(self, blueprint: Blueprint, *, normalise: nn.Module | None = None, backend: str = "auto") -> None:
        super().__init__(blueprint.graph, normalise=normalise, backend=backend)
        self.mixes = blueprint.mixes
        self.choices = blueprint.choices
        self.exact = False
        self.architecture = nn.ParameterList([torch.zeros(len(values)) for values in blueprint.choices.values()])
        pairs = [(key, value) for key, values in blueprint.choices.items() for value in values]
        index = {pair: i for i, pair in enumerate(pairs)}
        options = [option for mix in self.mixes.values() for option in mix.options]
        rows = [[index[pair] for pair in product] for option in options for product in option.products]
        longest = max(map(len, rows))
        filled = [row + [len(pairs)] * (longest - len(row)) for row in rows]
        self.register_buffer("_factors", torch.tensor(filled))
        self.register_buffer("_owner", torch.tensor([i for i, option in enumerate(options) for _ in option.products]))
        self._live: dict[str, Tensor] = {}
        self._kept: tuple[object, dict[str, Tensor]] = (None, {})

    def probabilities(self) -> dict[str, Tensor]:
        """For each key the softmax of its architecture weights."""
        return {key: p.softmax(0) for key, p in zip(self.choices, self.architecture, strict=True)}

    def weights(self) -> dict[str, Tensor]:
        """For each mix the weights of its options, `[options]`."""
        logs = torch.cat([p.log_softmax(0) for p in self.architecture])
        chances = torch.cat([logs, logs.new_zeros(1)])[self._factors].sum(1).exp()
        sizes = [len(mix.options) for mix in self.mixes.values()]
        each = torch.split(chances.new_zeros(sum(sizes)).index_add(0, self._owner, chances), sizes)
        found: dict[str, Tensor] = {}
        mass: dict[str, Tensor] = {}
        one = logs.new_ones(())
        for (name, mix), chance in zip(self.mixes.items(), each, strict=True):
            below = torch.stack([mass.get(option.after, one) for option in mix.options])
            mass[name] = (chance * below).sum()
            found[name] = chance * below / (mass[name] if mix.given else 1.0)
        return found

    def forward(self, images: Tensor, *args: object, **given: object) -> Tensor:
        """Currents `[T, B, classes]`, see `Network.forward`."""
        if self.exact:
            self._live = self.weights()
        return super().forward(images, *args, **given)  # type: ignore[arg-type]

    def _run(self, node: Node, images: Tensor, below: list[Tensor], static: bool) -> Tensor:
        if node.name in self.mixes:
            inputs = dict(zip(node.inputs, below, strict=True))
            options = self.mixes[node.name].options
            weights = (self._live if self.exact else self._still())[node.name]
            return torch.stack([w * inputs[o.node] for w, o in zip(weights.unbind(), options, strict=True)]).sum(0)
        if node.op == "layer" and self.exact:
            layer = self.layers[node.name]
            assert isinstance(layer, Layer)
            return _exact(layer, *below, static=static)
        return super()._run(node, images, below, static)

    def _still(self) -> dict[str, Tensor]:
        """The weights of all mixes as constants, worked out again when the architecture weights have changed."""
        version = [(p._version, p.device) for p in self.architecture]
        if self._kept[0] != version:
            self._kept = version, {name: each.detach() for name, each in self.weights().items()}
        return self._kept[1]

    @contextmanager
    def exactly(self) -> Iterator[None]:
        """Every gradient is exact and reaches the architecture weights; no rule sees these passes."""
        self.exact = True
        try:
            yield
        finally:
            self.exact = False


def _exact(layer: Layer, x: Tensor, *shortcuts: Tensor, static: bool) -> Tensor:
    """`Layer.forward` with exact transport, for any rule, and without a record for it."""
    current: Tensor = layer.norm(run(layer.synapse, x if static else x.flatten(0, 1)))
    if not static:
        current = current.reshape(*x.shape[:2], *current.shape[1:])
    for shortcut in shortcuts:
        current = current + shortcut
    if layer.population is None:
        return current.expand(layer.T, *current.shape) if static else current
    spikes: Tensor = layer.population(current, layer.T if static else None)
    return spikes
