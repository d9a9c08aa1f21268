"""One optimiser for each kind that the rules declare, and how its rate goes over the training."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from rules.layer import Layer
from rules.registry import Optimiser
from rules.synapse import fans
from snn_nas.distributed import average_gradients
from snn_nas.training_settings import Training

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)


class Optimisers:
    """One optimiser for each kind that the rules declare, one parameter group for each of their settings.

    Rates rise from nothing over the first `warmup` of all steps, then follow each rule's own schedule.
    """

    def __init__(self, layers: list[Layer], training: Training, steps: int) -> None:
        groups: dict[Optimiser, list[Layer]] = {}
        for layer in layers:
            groups.setdefault(layer.optimiser.of(fans(layer.synapse)[0]), []).append(layer)
        self._stepped_by: dict[Layer, torch.optim.Optimizer | None] = dict.fromkeys(layers)
        self._optimisers: list[torch.optim.Optimizer] = []
        self._names: list[str] = []
        self._schedules: list[torch.optim.lr_scheduler.LRScheduler] = []
        rising = round(training.warmup * steps)
        for declared, members in groups.items():
            weights: list[Any] = [layer.synapse.weight for layer in members if layer.synapse.weight.requires_grad]
            chosen = {id(weight) for weight in weights}
            others = [p for m in members for p in m.parameters() if p.requires_grad and id(p) not in chosen]
            if not weights and not others:
                continue
            optimiser = _make(declared, weights, others, training.lr, steps)
            schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _schedule(declared, steps, rising))
            self._optimisers.append(optimiser)
            horizon = "" if declared.horizon is None else f", horizon {declared.horizon:g}"
            self._names.append(f"{declared.kind} {declared.lr:g} {declared.schedule}{horizon}")
            self._schedules.append(schedule)
            for layer in members:
                self._stepped_by[layer] = optimiser

    def step(self) -> None:
        """Average gradients over processes, step all weights, tell the rules, advance schedules, clear gradients."""
        average_gradients(p for each in self._optimisers for group in each.param_groups for p in group["params"])
        for optimiser in self._optimisers:
            optimiser.step()
        for layer, stepped_by in self._stepped_by.items():
            group = stepped_by.param_groups[0] if stepped_by else {"lr": 0.0, "weight_decay": 0.0}
            layer.after_step(group["lr"] * group["weight_decay"])
        for schedule in self._schedules:
            schedule.step()
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)

    def rates(self) -> dict[str, float]:
        """The learning rate of each kind of optimiser, by what was declared: `adamw 0.002 cosine, horizon 0.1`."""
        return {name: each.param_groups[0]["lr"] for name, each in zip(self._names, self._optimisers, strict=True)}

    def state_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Moments, and where each schedule is."""
        return {
            "optimisers": [each.state_dict() for each in self._optimisers],
            "schedules": [each.state_dict() for each in self._schedules],
        }

    def load_state_dict(self, state: dict[str, list[dict[str, Any]]]) -> None:
        """Go on where `state_dict` was taken."""
        for optimiser, saved in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        for schedule, saved in zip(self._schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)


def _uncompiled(kind: type[Kind]) -> type[Kind]:
    """The same optimiser, which does not make torch import its compiler.

    That takes about as long as torch itself, and a trial compiles no optimiser. Two things ask for it:
    methods that the compiler shall leave alone (`torch._compile._disable_dynamo`), which we mark as left alone already,
    and the wrapper of `step`, in place of which we switch gradients off.
    """
    for method in vars(torch.optim.Optimizer).values():
        bare = getattr(method, "__wrapped__", None)
        if bare is not None and "torch._dynamo" not in sys.modules:
            bare.__dict__.setdefault("__dynamo_disable", bare)
    step = inspect.unwrap(kind.step)
    return type(kind.__name__, (kind,), {"step": torch.no_grad()(step)})


def _make(
    declared: Optimiser,
    weights: list[torch.nn.Parameter],
    others: list[torch.nn.Parameter],
    factor: float,
    steps: int,
) -> torch.optim.Optimizer:
    decay = declared.decay(steps, factor)
    groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if declared.kind == "adamw":
        return _uncompiled(torch.optim.AdamW)(groups, lr=declared.lr * factor)
    momentum = 0.9 if declared.kind == "sgd" else 0.0
    return _uncompiled(torch.optim.SGD)(groups, lr=declared.lr * factor, momentum=momentum)


def _schedule(declared: Optimiser, steps: int, rising: int) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        done = min((step - rising) / max(steps - rising, 1), 1.0)
        match declared.schedule:
            case "cosine":
                return 0.5 * (1.0 + math.cos(math.pi * done))
            case "linear":
                return 1.0 - done
            case _:
                return 1.0

    return factor
