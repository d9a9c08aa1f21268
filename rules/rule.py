"""The protocol of a learning rule, and what reaches it each batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor, nn

from neurons.settings import Value, resolve
from rules.registry import Declaration, Optimiser

if TYPE_CHECKING:
    from rules.layer import Layer

Root = tuple[Tensor, Tensor | None]
"""A tensor from which one backward pass starts, and the gradient that it starts with (`None` for a scalar loss)."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the output tells a layer, beside any transported error. All tensors are detached.

    Attributes:
        labels: `[B]`, class indices; of a mixed sample, the class that has most of it.
        error: `[B, classes]`, dL/dcurrents summed over time, of the mean loss over the batch.
        currents: `[T, B, classes]`, the readout's.
        smoothing: share of the target that is spread over all classes.
        mixture: `[B, classes]`, the classes' shares in each sample, where samples are mixed; else None.
        each_step: whether the loss is the mean of every step's own, and not that of the currents' mean over time.
    """

    labels: Tensor
    error: Tensor
    currents: Tensor
    smoothing: float = 0.0
    mixture: Tensor | None = None
    each_step: bool = False

    @classmethod
    def of(cls, currents: Tensor, labels: Tensor, label_smoothing: float = 0.0, *, each_step: bool = False) -> Signals:
        """The signals of a readout's currents `[T, B, classes]` under cross-entropy.

        `labels` are class indices `[B]`, or of mixed samples the classes' shares `[B, classes]`. The loss is that of
        the currents' mean over time, or with `each_step` the mean of every step's own.
        """
        currents = currents.detach()
        mixture = labels if labels.dim() == 2 else None
        guess = currents.softmax(2).mean(0) if each_step else currents.mean(0).softmax(1)
        error = guess - _smoothed(_shares(labels, currents.shape[2]), label_smoothing)
        indices = labels if mixture is None else mixture.argmax(1)
        return cls(indices, error / len(labels), currents, label_smoothing, mixture, each_step)

    @classmethod
    def silent(cls, batch: int, classes: int, like: Tensor) -> Signals:
        """For layers that learn before there is an output: nothing but zeros."""
        error = like.new_zeros(batch, classes)
        return cls(torch.zeros(batch, dtype=torch.long, device=like.device), error, error.unsqueeze(0))

    def errors(self) -> Tensor:
        """`[T, B, classes]`: dL/dcurrents as known at each step, from the currents up to it.

        Where the loss is the mean of each step's own, a step's error is known then, and these are the exact ones.
        """
        seen = self.currents
        if not self.each_step:
            steps = torch.arange(1, len(seen) + 1, device=seen.device).view(-1, 1, 1)
            seen = seen.cumsum(0) / steps
        return (seen.softmax(2) - _smoothed(self.target, self.smoothing)) / (len(self.labels) * len(seen))

    @property
    def target(self) -> Tensor:
        """`[B, classes]`: the classes' shares in each sample, unsmoothed."""
        return _shares(self.labels if self.mixture is None else self.mixture, self.error.shape[1])

    def loss(self, logits: Tensor) -> Tensor:
        """The cross-entropy of other logits, a local head's, under the same target.

        Logits are `[B, classes]`, or where each step has its own loss those of all steps, `[T * B, classes]`.
        """
        return cross_entropy(logits, self.labels if self.mixture is None else self.mixture, self.smoothing)


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """The mean over logits `[B, classes]`, or over those of all steps, `[T * B, classes]`.

    `labels` are class indices `[B]`, or of mixed samples the classes' shares `[B, classes]`.
    """
    target = labels.repeat(len(logits) // len(labels), *[1] * (labels.dim() - 1))
    return nn.functional.cross_entropy(logits, target, label_smoothing=smoothing)


def _shares(labels: Tensor, classes: int) -> Tensor:
    return nn.functional.one_hot(labels, classes) if labels.dim() == 1 else labels


def _smoothed(target: Tensor, smoothing: float) -> Tensor:
    return target * (1.0 - smoothing) + smoothing / target.shape[1]


class Rule(nn.Module):
    """How one layer learns. A rule object belongs to one layer and holds that layer's learning state.

    Feedback matrices and traces are buffers, so that they are saved, restored and never trained; parameters (a local
    head) are trained with the layer. The trainer calls the three hooks; each has a default that does nothing.

    Settings are checked against the declaration; `self.settings` holds them with defaults filled in.
    """

    reads: ClassVar[Literal["nothing", "output", "all"]] = "nothing"
    """What `update` or `step` looks at of `layer.record`, the tensors of the last training forward. Only that is kept;
    `output` is without the two currents, the larger half."""

    traced: ClassVar[bool] = False
    """Whether, step by step, the weights take each step's error with the trace of their input (`Layer.step`); where
    `norms` are declared to be the rule's, the norm's scale and shift too."""

    by_steps: ClassVar[bool] = False
    """Whether the layer trains step by step even in a network that runs layer by layer."""

    def __init__(self, declaration: Declaration, settings: Mapping[str, Value] | None = None) -> None:
        super().__init__()
        self.declaration = declaration
        self.settings = resolve(settings or {}, declaration.settings, f"rule {declaration.name}")

    def optimiser(self, declared: Optimiser) -> Optimiser:
        """How the weights step, for rules whose settings have a say in what they and their transport declare."""
        return declared

    def attach(self, layer: Layer, classes: int) -> None:
        """Allocate state, once the layer's weights are drawn. Random numbers come from torch's global generator."""

    def prepare(self, layer: Layer, inputs: Iterable[Tensor]) -> None:
        """Before training: statistics and thresholds from `inputs`, batches of this layer's own input (read lazily)."""

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Each batch, after the forward pass and before the one backward pass.

        A rule that learns by some gradient returns where its error enters; a rule that computes its own change writes
        it into `layer.synapse.weight.grad` (the optimiser subtracts, so a change *dw* is written as *-dw*), and with
        `norms="rule"` those of the norm's scale and shift into theirs.
        """
        return []

    def online(self, layer: Layer) -> bool:
        """Whether this layer can learn step by step, with memory that does not grow with T."""
        return self.declaration.online

    def step(self, layer: Layer, error: Tensor) -> list[Root]:
        """`update` where the network runs step by step: called at each step, before that step's backward pass.

        Args:
            layer: its record holds this step's tensors, without a time axis.
            error: `[B, classes]`, dL/dcurrent of the readout at this step, as known at this step.
        """
        return []

    @torch.no_grad()
    def after_step(self, layer: Layer) -> None:
        """After the optimiser: normalisation, homeostasis."""
