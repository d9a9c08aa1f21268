"""A trained network as a NIR graph (Pedersen et al. 2024, neuroir.org), for other simulators and for chips.

NIR's neurons are differential equations; a file has no time step. With the customary dt = 1e-4 s and forward Euler,
v += dt / tau (v_leak - v + r x), our step is reached exactly by

    lif, plif    tau = our tau * dt,  r = 1 (decay_input) or our tau,  v_leak = v_reset = 0
    if           r = 1 / dt

NIR fires where v > threshold, we where h >= threshold. The number written, in float64, lies between our threshold and
the float32 number below it, closer to ours. So a reader that keeps it has our condition under NIR's >, and one that
rounds it to float32 and then compares by >=, as SpikingJelly does, has it too. (Who rounds it and compares by >, as
snnTorch does, differs where a potential equals the threshold to the last bit.)

What is written is the folded network (`folding`): its weights are those of the file, to the last bit. Lowered exactly:
groups to a dense convolution with zeros, sums to several edges into one node (of a signal with itself, to a
convolution by 2), a concatenation to a sum of 1x1 convolutions (see `routing`).
NIR resets hard, to v_reset. A soft reset is a loop of an integrator without reset, a threshold and an inhibitory weight
back, which acts one step later:

    LI (or I) -> Threshold -> Scale -> LI,   Scale = -threshold (tau - 1) / r;  for if, -threshold

That is exact, but neither SpikingJelly nor snnTorch reads these nodes; they read `reset=hard`. What cannot be said is
an error that names the node: max pools, adaptive thresholds.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from neurons import registry as neurons
from neurons.errors import UserError
from neurons.population import Population
from rules.layer import Layer
from snn_nas.export.folding import folded
from snn_nas.export.routing import placed, shifted
from snn_nas.graph import Graph, Node
from snn_nas.network import Network
from snn_nas.search.files import write_bytes

DT = 1e-4
"""Seconds a time step: what SpikingJelly and snnTorch assume, since no file says it."""

KINDS = ("lif", "plif", "if")
"""Neurons that can be exported."""

MAX_WEIGHTS = 64_000_000
"""What grows beyond this number of weights when it is filled with zeros is refused."""


def to_nir(network: Network, *, dt: float = DT) -> nir.NIRGraph:
    """The folded network as a NIR graph, in the network's own number type; nodes bear the names of our graph.

    Input is one step's pixels `(C, H, W)` in [0, 1] where the encoding is direct; with another encoding it is what that
    encoding puts out, since a code is made outside of the network. Output is the readout's current, to be averaged over
    T steps. `T`, `dt`, the encoding and the genotype are in the graph's metadata.

    Raises:
        UserError: a node that NIR cannot express exactly, by name.
    """
    if reason := refusal(network.graph):
        raise UserError(reason)
    return _Writer(folded(network), dt).graph()


def refusal(graph: Graph) -> str:
    """Why NIR cannot express this graph exactly, with the name of a node; empty where it can."""
    for node in graph:
        if node.op == "maxpool":
            return f"{node.name} is a max pool, which NIR cannot express; an average pool can be exported"
        if node.op in ("concat", "shift") and len(node.shape) != 3:
            return f"{node.name} is a {node.op} of vectors, which is not exported; one of images is"
        if node.readout and len(node.inputs) > 1:
            return f"{node.name} is a readout with a shortcut, which is not exported"
        if node.neuron is not None and node.neuron.name not in KINDS:
            return (
                f"{node.name} has {node.neuron.name} neurons, which NIR cannot express; "
                f"{', '.join(KINDS[:-1])} and {KINDS[-1]} can be exported"
            )
        if (weights := _filled(graph, node)) > MAX_WEIGHTS:
            return (
                f"{node.name} takes {weights:,} weights where NIR has no groups; at most {MAX_WEIGHTS:,} are exported"
            )
    return ""


def outlook(graph: Graph) -> str:
    """One line on what the file will be: exact everywhere, exact but rarely read, or refused and why."""
    if reason := refusal(graph):
        return f"not exportable: {reason}"
    for node in graph:
        if node.neuron is None:
            continue
        declared = neurons.declaration(node.neuron.name)
        for key, known in declared.readable.get("nir", {}).items():
            value = node.neuron.values.get(key, declared.settings[key].default)
            if value != known:
                return (
                    f"exportable, but few readers know the {value} {key} of {node.name}; {key}={known} is read by all"
                )
    return "exportable"


def save_nir(network: Network, path: str | Path, *, dt: float = DT) -> nir.NIRGraph:
    """Write `to_nir` to a file, all or nothing, and return it.

    Raises:
        UserError: as `to_nir`, or the file cannot be written.
    """
    graph = to_nir(network, dt=dt)
    held = io.BytesIO()  # HDF5 itself dies of a full disk, in ways that cannot be caught
    nir.write(held, graph)
    try:
        write_bytes(Path(path), held.getbuffer())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    return graph


class _Writer:
    """Walks our graph and collects NIR nodes and edges."""

    def __init__(self, network: Network, dt: float) -> None:
        self.network, self.dt = network, dt
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.outputs: dict[str, tuple[str, ...]] = {}  # of our nodes: the NIR nodes whose sum each one is

    def graph(self) -> nir.NIRGraph:
        for node in self.network.graph:
            self.outputs[node.name] = self._lower(node)
        readout = self.network.graph.nodes[-1]
        self._put("output", nir.Output({"output": np.array(readout.shape)}), (readout.name,))
        source = self.network.graph.nodes[0]
        metadata: dict[str, Any] = {
            "producer": "snn-nas",
            "T": self.network.graph.T,
            "dt": self.dt,
            "input": "pixels" if source.encoding == "direct" else f"encoded:{source.encoding}",
            "genotype": str(self.network.genotype or ""),
        }
        return nir.NIRGraph(self.nodes, self.edges, metadata=metadata)

    def _put(self, name: str, node: nir.NIRNode, inputs: tuple[str, ...]) -> tuple[str, ...]:
        """Add a NIR node that reads the sum of these nodes of ours."""
        self.nodes[name] = node
        sources = [source for each in inputs for source in self.outputs.get(each, (each,))]
        for source, times in Counter(sources).items():
            if times > 1:  # two edges between the same nodes would be one
                several = f"{name}_{times}x_{source}"
                self.nodes[several] = self._times(times, self.network.graph[inputs[0]].shape)
                self.edges += [(source, several), (several, name)]
            else:
                self.edges.append((source, name))
        return (name,)

    def _times(self, times: int, shape: tuple[int, ...]) -> nir.NIRNode:
        """A signal times a whole number, as weights: NIR has a Scale, but not all of its readers."""
        weight = torch.eye(shape[0], dtype=next(self.network.parameters()).dtype) * times
        if len(shape) == 1:
            return nir.Linear(_numpy(weight))
        return _conv(weight[:, :, None, None], weight.new_zeros(shape[0]), shape[1:], stride=1, padding=0, dilation=1)

    def _lower(self, node: Node) -> tuple[str, ...]:
        match node.op:
            case "input":
                return self._input(node)
            case "layer":
                return self._layer(node)
            case "avgpool":
                kernel, stride, padding = (np.array([side, side]) for side in node.window)
                return self._put(node.name, nir.AvgPool2d(kernel, stride, padding), node.inputs)
            case "flatten":
                shape = np.array(self.network.graph[node.inputs[0]].shape)
                # Counted from the end, because readers disagree on whether the batch is dimension 0.
                return self._put(node.name, nir.Flatten({"input": shape}, -len(shape), -1), node.inputs)
            case "add":
                return tuple(source for name in node.inputs for source in self.outputs[name])
            case "concat":
                channels = [self.network.graph[name].shape[0] for name in node.inputs]
                routes = [(f"{node.name}_part{i + 1}", placed(channels, i), name) for i, name in enumerate(node.inputs)]
                return tuple(source for route in routes for source in self._route(node, *route, padding=0))
            case "shift":
                return self._route(node, node.name, shifted(node.shape[0]), node.inputs[0], padding=1)
        raise AssertionError(f"{node.name} should have been refused")

    def _route(self, node: Node, name: str, weight: Tensor, source: str, *, padding: int) -> tuple[str, ...]:
        """Part of an image's channels or pixels, taken elsewhere (see `routing`)."""
        weight = weight.to(next(self.network.parameters()).dtype)
        conv = _conv(weight, weight.new_zeros(len(weight)), node.shape[1:], stride=1, padding=padding, dilation=1)
        return self._put(name, conv, (source,))

    def _input(self, node: Node) -> tuple[str, ...]:
        out = self._put(node.name, nir.Input({"input": np.array(node.shape)}), ())
        normalise = self.network.normalise
        if not isinstance(normalise, nn.Conv2d):
            return out
        assert normalise.bias is not None
        conv = _conv(normalise.weight, normalise.bias, node.shape[1:], stride=1, padding=0, dilation=1)
        return self._put("normalise", conv, (node.name,))

    def _layer(self, node: Node) -> tuple[str, ...]:
        layer = self.network.layers[node.name]
        assert isinstance(layer, Layer)
        bias = layer.synapse.bias
        assert bias is not None
        if isinstance(layer.synapse, nn.Linear):
            synapse: nir.NIRNode = nir.Affine(_numpy(layer.synapse.weight), _numpy(bias))
        else:
            conv = layer.synapse
            sides = self.network.graph[node.inputs[0]].shape[1:]
            dense = _ungrouped(conv.weight, conv.groups)
            synapse = _conv(
                dense, bias, sides, stride=conv.stride[0], padding=int(conv.padding[0]), dilation=conv.dilation[0]
            )
        self._put(node.name, synapse, node.inputs[:1])
        if layer.population is None:
            return (node.name,)
        return self._neurons(node, layer.population)

    def _neurons(self, node: Node, population: Population) -> tuple[str, ...]:
        kind, dynamics, name = population.name, population.dynamics, f"{node.name}_neurons"
        inputs = (f"{node.name}", *node.inputs[1:])
        self.outputs[node.name] = (node.name,)  # for these edges the current alone, not yet the spikes
        threshold = _just_below(dynamics.threshold, next(self.network.parameters()).dtype)

        def full(value: float) -> np.ndarray[Any, Any]:
            return np.full(node.shape, value)

        # r x is the current's part of the potential's rate of change: x / tau where it decays too, else x.
        if kind == "if":
            tau, r = math.inf, 1 / self.dt
        else:
            tau = dynamics.tau if population.w is None else 1 / float(population.w.detach().sigmoid())
            r = 1.0 if dynamics.decay_input else tau
        if dynamics.hard:
            if kind == "if":
                return self._put(name, nir.IF(full(r), full(threshold), full(0.0)), inputs)
            lif = nir.LIF(full(_seconds(tau, self.dt)), full(r), full(0.0), full(threshold), full(0.0))
            return self._put(name, lif, inputs)
        potential = nir.I(full(r)) if kind == "if" else nir.LI(full(_seconds(tau, self.dt)), full(r), full(0.0))
        back = f"{node.name}_reset"
        self._put(f"{node.name}_potential", potential, inputs)
        self._put(name, nir.Threshold(full(threshold)), (f"{node.name}_potential",))
        self._put(back, nir.Scale(full(-dynamics.threshold * (1.0 if kind == "if" else (tau - 1) / r))), (name,))
        self.edges.append((back, f"{node.name}_potential"))
        return (name,)


def _just_below(threshold: float, dtype: torch.dtype) -> float:
    """A number below the threshold with no other potential in between; where those are float32, it rounds to it."""
    if dtype == torch.float64:
        return math.nextafter(threshold, -math.inf)
    below = np.nextafter(np.float32(threshold), np.float32(-math.inf))
    return math.nextafter((float(below) + float(np.float32(threshold))) / 2, math.inf)


def _seconds(steps: float, dt: float) -> float:
    """The time constant, such that a reader who divides it by `dt` gets ours to the last bit."""
    product = steps * dt
    near = (product, math.nextafter(product, 0.0), math.nextafter(product, math.inf))
    return next((seconds for seconds in near if seconds / dt == steps), product)


def _filled(graph: Graph, node: Node) -> int:
    """Weights of the dense convolution that says what NIR has no word for: groups, concatenation, shift."""
    channels = node.shape[0]
    if node.op == "concat":
        return max(channels * graph[name].shape[0] for name in node.inputs)
    if node.op == "shift":
        return 9 * channels**2
    synapse = node.synapse
    return 0 if synapse is None or synapse.groups == 1 else synapse.weights * synapse.groups


def _ungrouped(weight: Tensor, groups: int) -> Tensor:
    """`[C', C / groups, k, k]` to `[C', C, k, k]`, with zeros between the groups: no reader takes groups."""
    if groups == 1:
        return weight
    c_out, c_in = weight.shape[:2]
    dense = weight.new_zeros(c_out, c_in * groups, *weight.shape[2:])
    each = c_out // groups
    for group in range(groups):
        rows = slice(group * each, (group + 1) * each)
        dense[rows, group * c_in : (group + 1) * c_in] = weight[rows]
    return dense


def _conv(
    weight: Tensor, bias: Tensor, sides: tuple[int, ...], *, stride: int, padding: int, dilation: int
) -> nir.Conv2d:
    geometry = ((value, value) for value in (stride, padding, dilation))
    return nir.Conv2d(sides, _numpy(weight), *geometry, 1, _numpy(bias))


def _numpy(x: Tensor) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = x.detach().cpu().numpy()
    return array
