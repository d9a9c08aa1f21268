"""The protocol of a learning rule, and what reaches it each batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from neurons.settings import Value, resolve
from rules.registry import Declaration

if TYPE_CHECKING:
    from rules.layer import Layer

Root = tuple[Tensor, Tensor | None]
"""A tensor from which one backward pass starts, and the gradient that it starts with (`None` for a scalar loss)."""


@dataclass(frozen=True, slots=True)
class Signals:
    """What the output tells a layer, beside any transported error.

    Attributes:
        labels: `[B]`, class indices.
        error: `[B, classes]`, dL/dlogits of the mean loss over the batch, logits being the mean over time; detached.
    """

    labels: Tensor
    error: Tensor


class Rule(nn.Module):
    """How one layer learns. A rule object belongs to one layer and holds that layer's learning state.

    Feedback matrices and traces are buffers, so that they are saved, restored and never trained; parameters (a local
    head) are trained with the layer. The trainer calls the three hooks; each has a default that does nothing.

    Settings are checked against the declaration; `self.settings` holds them with defaults filled in.
    """

    reads: ClassVar[bool] = False
    """Whether `update` looks at `layer.record`, the tensors of the last training forward."""

    def __init__(self, declaration: Declaration, settings: Mapping[str, Value] | None = None) -> None:
        super().__init__()
        self.declaration = declaration
        self.settings = resolve(settings or {}, declaration.settings, f"rule {declaration.name}")

    def attach(self, layer: Layer, classes: int) -> None:
        """Allocate state, once the layer's weights are drawn. Random numbers come from torch's global generator."""

    def prepare(self, layer: Layer, inputs: Iterable[Tensor]) -> None:
        """Before training: statistics and thresholds from `inputs`, batches of this layer's own input (read lazily)."""

    def update(self, layer: Layer, signals: Signals) -> list[Root]:
        """Each batch, after the forward pass and before the one backward pass.

        A rule that learns by some gradient returns where its error enters; a rule that computes its own change writes
        it into `layer.synapse.weight.grad` (the optimiser subtracts, so a change *dw* is written as *-dw*).
        """
        return []

    @torch.no_grad()
    def after_step(self, layer: Layer) -> None:
        """After the optimiser: normalisation, homeostasis."""
