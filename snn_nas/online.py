"""Step by step: time outermost, one backward pass a step, and nothing kept of earlier steps but traces.

A network learns so where every rule can and one of them, `ottt` or `eprop`, has a trace for what was. The loss is that
of training layer by layer, cross-entropy of the currents' mean over time, as far as it is known: the error at step t is

    e[t] = (softmax(mean of the currents up to t) - target) / (B T)

which at t = T is the gradient of the whole loss (`rules.rule.Signals.errors`). It enters at the readout's current, and
is what `eprop` broadcasts. (With `loss=tet` it is of the current at t alone, as in the published OTTT.) Gradients add
up over the steps, and weights change once a batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rules.layer import Layer, Moment
from rules.rule import Root, Signals, cross_entropy
from snn_nas.network import Network


class Rollout:
    """A network run step by step on one batch of images; call `step` T times.

    What is the same at every step is computed once: a static image, and the current that it drives the first layers
    with. The errors of all steps gather at that current, and `roots` says where one last backward pass takes them on.
    """

    def __init__(self, network: Network, images: Tensor) -> None:
        self.network, self.images = network, images
        self._static: dict[str, Tensor] = {}
        self._driven: dict[str, tuple[Tensor, Tensor]] = {}
        """The current, with its graph, and the leaf in its place at which errors gather."""
        self._moments = dict.fromkeys(network.layers, Moment())
        self._frames: Iterator[Tensor] = iter(())
        network.drop_path.draw(images, network.training)
        for node in network.graph:
            below = [self._static[name] for name in node.inputs if name in self._static]
            if node.op == "layer":
                if node.inputs[0] in network.graph.static:
                    drive = self._layer(node.name).drive(below[0])
                    self._driven[node.name] = drive, drive.detach().requires_grad_(drive.requires_grad)
            elif node.name in network.graph.static:
                self._static[node.name] = network._run(node, images, below, True)
            elif node.op == "input":
                self._frames = network.encoding.frames(images)

    def step(self) -> Tensor:
        """The readout's current at the next step, `[B, classes]`."""
        values = dict(self._static)
        for node in self.network.graph:
            if node.name in values:
                continue
            below = [values[name] for name in node.inputs]
            if node.op == "input":
                values[node.name] = next(self._frames)
            elif node.op == "layer":
                _, drive = self._driven.get(node.name, (None, None))
                values[node.name], self._moments[node.name] = self._layer(node.name).step(
                    *below, moment=self._moments[node.name], drive=drive
                )
            else:
                values[node.name] = self.network._run(node, self.images, below, True)  # without a time axis
        return values[self.network.graph.nodes[-1].name]

    def roots(self) -> list[Root]:
        """After the last step: the currents that were computed once, and the error that gathered at each."""
        return [(drive, leaf.grad) for drive, leaf in self._driven.values() if leaf.grad is not None]

    def _layer(self, name: str) -> Layer:
        layer = self.network.layers[name]
        assert isinstance(layer, Layer)
        return layer


def learn(
    network: Network,
    images: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    each_step: bool = False,
    autocast: torch.autocast,
) -> Tensor:
    """One batch: fill every layer's gradients, step by step. Returns the loss, detached.

    Args:
        network: one that is `online`.
        images: `[B, C, H, W]`, or recordings `[T, B, C, H, W]`.
        labels: `[B]`.
        label_smoothing: share of the target that is spread over all classes.
        each_step: the loss is the mean over time of every step's own cross-entropy, so that e[t] is of current t alone.
        autocast: the precision of forward passes.
    """
    T = network.graph.T
    total = loss = torch.zeros((), device=images.device)
    with autocast:
        rollout = Rollout(network, images)
    for t in range(1, T + 1):
        with autocast:
            current = rollout.step()
        total = total + current.detach()
        if each_step:
            loss = loss + cross_entropy(current.detach(), labels, label_smoothing) / T
        seen = current.detach() if each_step else total / t
        error = Signals.of(seen.unsqueeze(0), labels, label_smoothing).error / T
        _backward([(current, error), *network.roots_of_step(error)])
    _backward(rollout.roots())
    return loss if each_step else cross_entropy(total / T, labels, label_smoothing)


def _backward(roots: list[Root]) -> None:
    if roots:
        torch.autograd.backward([t for t, _ in roots], [g for _, g in roots])
