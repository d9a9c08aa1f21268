"""What strategies ask for, in this process: load the data, run the procedure, return the architecture weights."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from neurons.errors import UserError
from snn_nas.batches import batches, per_pass
from snn_nas.data import Dataset, describe
from snn_nas.evaluation import EvaluationSettings
from snn_nas.genotype import Genotype
from snn_nas.search.preferences import choices
from snn_nas.spaces.space import Space
from snn_nas.supernet import bilevel
from snn_nas.supernet.bank import Bank
from snn_nas.supernet.bilevel import OnStep, halves
from snn_nas.supernet.blueprint import blueprint
from snn_nas.supernet.evolve import Evolution, Score
from snn_nas.training_settings import Training

TRAINING = ("batch_size", "lr", "label_smoothing", "augment", "loss", "precision")
"""The trials' settings that a supernet's training takes over; it has epochs of its own."""

Weights = dict[str, list[float]]


def run(
    request: Mapping[str, Any], space: Space, evaluation: EvaluationSettings, *, on_step: OnStep | None = None
) -> Weights:
    """Run a procedure, `darts` or `eg_nas`; for every key of the space's plans a logit for each choice.

    Raises:
        UserError: the space cannot be held in a supernet, or the data are missing.
    """
    taken = {key: value for key, value in evaluation.training.items() if key in TRAINING}
    training = Training(**{**taken, "epochs": request["epochs"]})
    steps = choices(space)["T"]
    if len(steps) > 1 and describe(evaluation.data).events:
        raise UserError("recordings are cut into T steps once for a whole supernet: write one T in the space")
    procedure = {"darts": _darts, "eg_nas": _eg_nas}[request["procedure"]]
    data = evaluation.load(space.sample(random.Random(0)))
    return procedure(request, space, data, training, evaluation, on_step)


def _darts(
    request: Mapping[str, Any],
    space: Space,
    data: Dataset,
    training: Training,
    evaluation: EvaluationSettings,
    on_step: OnStep | None,
) -> Weights:
    mixture = bilevel.search(
        blueprint(space, int(request["layers"])),
        data,
        training,
        seed=request["seed"],
        warmup=request["warmup"],
        architecture_lr=request["architecture_lr"],
        device=evaluation.resolve_device(),
        backend=evaluation.backend,
        on_step=on_step,
    )
    return {key: p.log().tolist() for key, p in mixture.probabilities().items()}


def _eg_nas(
    request: Mapping[str, Any],
    space: Space,
    data: Dataset,
    training: Training,
    evaluation: EvaluationSettings,
    on_step: OnStep | None,
) -> Weights:
    return evolved(request, space, data, training, evaluation, on_step)[1].logits()


def evolved(
    request: Mapping[str, Any],
    space: Space,
    data: Dataset,
    training: Training,
    evaluation: EvaluationSettings,
    on_step: OnStep | None = None,
) -> tuple[Bank, Evolution]:
    """Shared weights train on networks that are drawn uniformly at first, then from CMA-ES's distribution."""
    torch.manual_seed(request["seed"])
    order, rng = torch.Generator().manual_seed(request["seed"]), random.Random(request["seed"])
    weights, held = halves(data.train)
    steps = per_pass(weights, training.batch_size) * training.epochs
    bank = Bank(data, training, steps, evaluation.resolve_device(), evaluation.backend)
    evolution = Evolution(
        space,
        request["seed"],
        sigma=request["sigma"],
        population=request["population"],
        diversity=request["diversity"],
    )
    first = min(training.epochs - 1, round(request["warmup"] * training.epochs))
    due = [0] * first + _spread(int(request["generations"]), training.epochs - first)
    total, done, loss = steps + sum(due), 0, torch.zeros(())
    seen = held.first(int(request["images"]))
    augmentation = data.augmentation if training.augment else None

    def scores(networks: Sequence[Genotype]) -> list[Score]:
        images, labels = next(seen.batches(len(seen), device=bank.device))
        return [bank.score(network, images, labels) for network in networks]

    def step(loss: Tensor) -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, total, loss)

    for epoch in range(training.epochs):
        for images, labels in batches(weights, training.batch_size, order, bank.device, augmentation):
            loss = bank.learn(evolution.draw() if epoch > first else space.sample(rng), images, labels)
            step(loss)
        for _ in range(due[epoch]):
            if not evolution.settled:
                evolution.generation(scores)
            step(loss)
    return bank, evolution


def _spread(items: int, places: int) -> list[int]:
    """So many items, as evenly as can be."""
    return [items * (i + 1) // places - items * i // places for i in range(places)]
