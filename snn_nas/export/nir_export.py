"""A trained network as a NIR graph (Pedersen et al. 2024, neuroir.org), for other simulators and for chips.

NIR's neurons are differential equations; a file has no time step. With the customary dt = 1e-4 s and forward Euler,
v += dt / tau (v_leak - v + r x), our step is reached exactly by

    lif, plif    tau = our tau * dt,  r = 1 (decay_input) or our tau,  v_leak = v_reset = 0
    if           r = 1 / dt

NIR fires where v > threshold and we where h >= threshold: the threshold written is the float32 number below ours, after
which the two conditions are one.

Lowered exactly: normalisation to a 1x1 convolution (so that padding stays what it was), batch norm into its synapse,
groups to a dense convolution with zeros, sums to several edges into one node (of a signal with itself, to a Scale).
NIR resets hard, to v_reset. A soft reset is a loop of an integrator without reset, a threshold and an inhibitory weight
back, which acts one step later:

    LI (or I) -> Threshold -> Scale -> LI,   Scale = -threshold (1 - 1/tau) / gain

That is exact, but neither SpikingJelly nor snnTorch reads these nodes; they read `reset=hard`. What cannot be said is
an error that names the node: max pools, adaptive thresholds.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import Tensor, nn

from neurons.errors import UserError
from neurons.population import Population
from rules.layer import Layer
from snn_nas.graph import Node
from snn_nas.network import Network

DT = 1e-4
"""Seconds a time step: what SpikingJelly and snnTorch assume, since no file says it."""

MAX_WEIGHTS = 64_000_000
"""A synapse that grows beyond this number of weights when its groups are filled with zeros is refused."""


def to_nir(network: Network, *, dt: float = DT) -> nir.NIRGraph:
    """The network in evaluation mode as a NIR graph, float32 weights; nodes bear the names of our graph.

    Input is one step's pixels `(C, H, W)` in [0, 1] where the encoding is direct; with another encoding it is what that
    encoding puts out, since a code is made outside of the network. Output is the readout's current, to be averaged over
    T steps. `T`, `dt`, the encoding and the genotype are in the graph's metadata.

    Raises:
        UserError: a node that NIR cannot express exactly, by name.
    """
    return _Writer(network, dt).graph()


def save_nir(network: Network, path: str | Path, *, dt: float = DT) -> nir.NIRGraph:
    """Write `to_nir` to a file, all or nothing, and return it.

    Raises:
        UserError: as `to_nir`, or the file cannot be written.
    """
    graph = to_nir(network, dt=dt)
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        nir.write(str(part), graph)
        part.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from None
    finally:
        part.unlink(missing_ok=True)
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
                scale = f"{name}_{times}x_{source}"
                self.nodes[scale] = nir.Scale(np.full(self.network.graph[inputs[0]].shape, float(times)))
                self.edges += [(source, scale), (scale, name)]
            else:
                self.edges.append((source, name))
        return (name,)

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
            case "maxpool":
                raise UserError(
                    f"{node.name} is a max pool, which NIR cannot express; down=avg or down=stride can be exported"
                )

    def _input(self, node: Node) -> tuple[str, ...]:
        out = self._put(node.name, nir.Input({"input": np.array(node.shape)}), ())
        normalise = self.network.normalise
        if isinstance(normalise, nn.Identity):
            return out
        mean, std = (getattr(normalise, key).detach().cpu().double().flatten() for key in ("mean", "std"))
        channels, *sides = node.shape
        scale = torch.diag(1 / std.expand(channels)).view(channels, channels, 1, 1)
        conv = _conv(scale, (-mean / std).expand(channels), tuple(sides), stride=1, padding=0, dilation=1)
        return self._put("normalise", conv, (node.name,))

    def _layer(self, node: Node) -> tuple[str, ...]:
        layer = self.network.layers[node.name]
        assert isinstance(layer, Layer)
        weight, bias = _folded(layer, node.name)
        if isinstance(layer.synapse, nn.Linear):
            synapse: nir.NIRNode = nir.Affine(_numpy(weight), _numpy(bias))
        else:
            conv = layer.synapse
            sides = self.network.graph[node.inputs[0]].shape[1:]
            dense = _ungrouped(weight, conv.groups, node.name)
            synapse = _conv(
                dense, bias, sides, stride=conv.stride[0], padding=int(conv.padding[0]), dilation=conv.dilation[0]
            )
        self._put(node.name, synapse, node.inputs[:1])
        if layer.population is None:
            if len(node.inputs) > 1:
                raise UserError(f"{node.name} is a readout with a shortcut, which is not exported")
            return (node.name,)
        return self._neurons(node, layer.population)

    def _neurons(self, node: Node, population: Population) -> tuple[str, ...]:
        kind, dynamics, name = population.name, population.dynamics, f"{node.name}_neurons"
        if kind not in ("lif", "plif", "if"):
            raise UserError(
                f"{node.name} has {kind} neurons, which NIR cannot express; lif, plif and if can be exported"
            )
        inputs = (f"{node.name}", *node.inputs[1:])
        self.outputs[node.name] = (node.name,)  # for these edges the current alone, not yet the spikes
        threshold = float(np.nextafter(np.float32(dynamics.threshold), np.float32(-math.inf)))

        def full(value: float) -> np.ndarray[Any, Any]:
            return np.full(node.shape, value)

        decay, gain = (float(torch.as_tensor(value).detach()) for value in (population.decay, population.gain))
        tau = math.inf if kind == "if" else 1 / (1 - decay)
        r = 1 / self.dt if kind == "if" else gain * tau
        if dynamics.hard:
            if kind == "if":
                return self._put(name, nir.IF(full(r), full(threshold), full(0.0)), inputs)
            lif = nir.LIF(full(tau * self.dt), full(r), full(0.0), full(threshold), full(0.0))
            return self._put(name, lif, inputs)
        potential = nir.I(full(r)) if kind == "if" else nir.LI(full(tau * self.dt), full(r), full(0.0))
        back = f"{node.name}_reset"
        self._put(f"{node.name}_potential", potential, inputs)
        self._put(name, nir.Threshold(full(threshold)), (f"{node.name}_potential",))
        self._put(back, nir.Scale(full(-dynamics.threshold * decay / gain)), (name,))
        self.edges.append((back, f"{node.name}_potential"))
        return (name,)


def _folded(layer: Layer, name: str) -> tuple[Tensor, Tensor]:
    """Weights and bias in float64 with the batch norm's running statistics in them."""
    weight = layer.synapse.weight.detach().cpu().double()
    bias = layer.synapse.bias
    offset = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.detach().cpu().double()
    norm = layer.norm
    if isinstance(norm, nn.Identity):
        return weight, offset
    if not isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        raise UserError(f"{name} has a norm that cannot be folded into its synapse: {type(norm).__name__}")
    scale = (norm.running_var.cpu().double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().cpu().double()
    shift = 0.0 if norm.bias is None else norm.bias.detach().cpu().double()
    shaped = scale.view(-1, *[1] * (weight.ndim - 1))
    return weight * shaped, (offset - norm.running_mean.cpu().double()) * scale + shift


def _ungrouped(weight: Tensor, groups: int, name: str) -> Tensor:
    """`[C', C / groups, k, k]` to `[C', C, k, k]`, with zeros between the groups: no reader takes groups."""
    if groups == 1:
        return weight
    if weight.numel() * groups > MAX_WEIGHTS:
        filled = f"{weight.numel() * groups:,} weights"
        raise UserError(f"{name}: without groups it has {filled}; at most {MAX_WEIGHTS:,} are exported")
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
    array: np.ndarray[Any, Any] = x.float().numpy()
    return array
