"""A genotype built into a torch module that runs, learns and reports where its errors come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from neurons import encodings, population
from rules.layer import Layer
from rules.rule import Root, Signals
from rules.synapse import Synapse
from snn_nas import spaces
from snn_nas.credit import Credit, check
from snn_nas.drop_path import DropPath
from snn_nas.genotype import Genotype
from snn_nas.graph import Graph, Node
from snn_nas.graph import Synapse as Geometry

FEEDBACK = ("matrix", "magnitude")
"""What transports and rules call the tensors that carry an error."""


class Network(nn.Module):
    """A spiking network, run layer by layer with time inside; `snn_nas.online` runs it step by step.

    Images `[B, C, H, W]` in `[0, 1]` (recordings `[T, B, C, H, W]`) give currents `[T, B, classes]`, whose mean over
    time is the prediction. Weights are drawn from torch's global generator.

    Args:
        graph: from a space; its credit is checked here.
        normalise: the data set's `Normalise`, applied to directly encoded images.
        backend: of the populations.
        genotype: kept for those who save or report the network.

    Raises:
        CreditError: a layer can get no error.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        normalise: nn.Module | None = None,
        backend: str = "auto",
        genotype: Genotype | None = None,
    ) -> None:
        super().__init__()
        self.credit: Credit = check(graph)
        self.graph, self.genotype = self.credit.graph, genotype
        encoding = self.graph.nodes[0].encoding
        # Rate and contrast codes are made from pixels; only a current is standardised.
        self.normalise = normalise if normalise is not None and encoding == "direct" else nn.Identity()
        self.encoding = encodings.build(encoding, steps=self.graph.T)
        # All weights are drawn before any rule draws its feedback: twins under other rules start from the same weights.
        drawn = [(node, draw_synapse(node.synapse, bias=node.readout)) for node in self.graph.layers if node.synapse]
        self.layers = nn.ModuleDict({node.name: self._layer(node, synapse, backend) for node, synapse in drawn})
        # Convolutions on a CPU run faster, in bfloat16 most, and populations take any layout.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        last = {name: node.name for node in self.graph for name in node.inputs}
        self.drop_path = DropPath(self.graph)
        self.call: Callable[..., Tensor] = Layer.__call__
        """How a layer is run: as it is, `recompute`d, or compiled."""
        self._done = {node.name: [name for name, user in last.items() if user == node.name] for node in self.graph}

    def _layer(self, node: Node, synapse: Synapse, backend: str) -> Layer:
        assert node.rule is not None
        neurons = (
            None if node.neuron is None else population.build(node.neuron.name, node.neuron.values, backend=backend)
        )
        return Layer(
            synapse,
            neurons,
            node.pair,
            shape=node.shape,
            T=self.graph.T,
            receives=node.name in self.credit.receives,
            random=node.name in self.credit.random,
            classes=self.graph.classes,
            settings=node.rule.values,
        )

    def forward(
        self, images: Tensor, until: str | None = None, *, through: bool = False, aside: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Currents `[T, B, classes]`.

        With `until`, the input of that layer instead, or with `through` its output, and nothing above it is run. The
        outputs of the nodes that `aside` has as keys are put into it.
        """
        self.drop_path.draw(images, self.training)
        values: dict[str, Tensor] = {}
        static = self.graph.static
        for node in self.graph:
            if node.name == until and not through:
                return values[node.inputs[0]]
            below = [values[name] for name in node.inputs]
            values[node.name] = self._run(node, images, below, bool(node.inputs) and node.inputs[0] in static)
            if node.name == until:
                return values[node.name]
            if aside is not None and node.name in aside:
                aside[node.name] = values[node.name]
            for name in self._done[node.name]:
                del values[name]
        return values[self.graph.nodes[-1].name]

    def _run(self, node: Node, images: Tensor, below: list[Tensor], static: bool) -> Tensor:
        match node.op:
            case "input":
                # Whitening takes small differences of large terms: never in a lower precision.
                with torch.autocast(images.device.type, enabled=False):
                    encoded: Tensor = self.encoding(self.normalise(images))
                return encoded
            case "layer":
                layer = self.layers[node.name]
                assert isinstance(layer, Layer)
                out: Tensor = self.call(layer, *below, static=static)
                return out
            case "avgpool":
                return _per_step(below[0], static, lambda x: nn.functional.avg_pool2d(x, *node.window))
            case "maxpool":
                return _per_step(below[0], static, lambda x: nn.functional.max_pool2d(x, *node.window))
            case "flatten":
                return below[0].flatten(1 if static else 2)
            case "add":
                below = self.drop_path(node, below)
                return torch.stack(below).sum(0) if len(below) > 2 else below[0] + below[1]
            case "concat":
                axes = max(x.dim() for x in below)  # one input may be the same at every step, and another not
                timed = [x if x.dim() == axes else x.expand(self.graph.T, *x.shape) for x in below]
                return torch.cat(timed, axes - len(node.shape))
            case "shift":
                return nn.functional.pad(below[0], (0, 1, 0, 1))[..., 1:, 1:]

    def roots(self, signals: Signals) -> list[Root]:
        """Call the `update` of every rule that is still learning: where errors enter beside the loss."""
        return [root for layer in self if layer.training for root in layer.rule.update(layer, signals)]

    def roots_of_step(self, error: Tensor) -> list[Root]:
        """Call the `step` of every rule that is still learning, with the error `[B, classes]` of this step."""
        return [root for layer in self if layer.training for root in layer.rule.step(layer, error)]

    @property
    def online(self) -> bool:
        """Whether it trains step by step: every rule can, and one of them needs the steps apart.

        `frozen` and `delta` look at no step but through a mean over time; alone, they learn layer by layer, like the
        rules that they are a control for.
        """
        return all(layer.rule.online(layer) for layer in self) and any(layer.rule.traced for layer in self)

    def __iter__(self) -> Iterator[Layer]:
        """The layers, from the input to the readout."""
        for layer in self.layers.values():
            assert isinstance(layer, Layer)
            yield layer

    def parameter_counts(self) -> dict[str, int]:
        """Synaptic weights (`weights`), norm, bias and neuron parameters (`other`), heads (`heads`), feedback tensors.

        Feedback is no parameter of the network: it is needed to learn, not to infer. Other state of a rule or a
        transport (handicaps, traces, what they note on the way) is counted nowhere.
        """
        weights = self.graph.weights
        heads = sum(p.numel() for layer in self for p in layer.rule.parameters())
        held = (m.named_buffers() for layer in self for m in (layer.transport, layer.rule))
        feedback = sum(b.numel() for buffers in held for name, b in buffers if name in FEEDBACK)
        total = sum(p.numel() for p in self.parameters())
        return {"weights": weights, "other": total - weights - heads, "heads": heads, "feedback": feedback}


def build(
    genotype: Genotype,
    shape: tuple[int, int, int],
    classes: int,
    *,
    normalise: nn.Module | None = None,
    backend: str = "auto",
) -> Network:
    """Build the network of a genotype for images of `shape` in `classes` classes.

    Raises:
        UserError: the genotype is invalid for such images, or the backend cannot run here.
    """
    graph = spaces.graph(genotype, shape, classes)
    return Network(graph, normalise=normalise, backend=backend, genotype=genotype)


def draw_synapse(geometry: Geometry, *, bias: bool) -> nn.Conv2d | nn.Linear:
    """Weights of unit gain: inputs of variance 1 give currents of variance 1, whatever the fan-in."""
    synapse: nn.Conv2d | nn.Linear
    if geometry.kind == "linear":
        synapse = nn.Linear(geometry.c_in, geometry.c_out, bias=bias)
    else:
        synapse = nn.Conv2d(
            geometry.c_in, geometry.c_out, geometry.kernel, geometry.stride, geometry.padding,
            geometry.dilation, geometry.groups, bias=bias,
        )  # fmt: skip
    nn.init.normal_(synapse.weight, 0.0, 1.0 / math.sqrt(geometry.fan_in))
    if bias:
        nn.init.zeros_(synapse.bias)  # type: ignore[arg-type]
    return synapse


def _per_step(x: Tensor, static: bool, pool: Callable[[Tensor], Tensor]) -> Tensor:
    """Pool `[B, C, H, W]` or every step of `[T, B, C, H, W]`."""
    if static:
        return pool(x)
    pooled = pool(x.flatten(0, 1))
    return pooled.view(*x.shape[:2], *pooled.shape[1:])
