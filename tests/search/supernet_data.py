"""Small images that need no file, and spaces for them."""

from __future__ import annotations

from typing import Any

import torch

from snn_nas.data import Dataset, Split
from snn_nas.data.registry import Augmentation
from snn_nas.data.splits import SealedSplit
from snn_nas.spaces import build
from snn_nas.spaces.space import Space

SHAPE, CLASSES = (1, 6, 6), 3


def dataset(count: int = 24) -> Dataset:
    """Images whose class is the row that is bright."""
    dice = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    images = torch.randint(0, 120, (count, *SHAPE), dtype=torch.uint8, generator=dice)
    for image, label in zip(images, labels, strict=True):
        image[:, 2 * int(label) : 2 * int(label) + 2] += 120
    part = Split(images, labels)
    none = Augmentation()
    names, sealed = ("a", "b", "c"), SealedSplit(None)
    return Dataset("rows", "rows", SHAPE, CLASSES, names, part, part, sealed, (0.5,), (0.25,), none)


def batch(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    return next(dataset(count).train.batches(count))


def chain(**choices: Any) -> Space:
    small = {
        "depth": [1], "ops": ["conv"], "widths": [3], "kernels": [3], "downs": ["none"], "skips": [0],
        "rules": ["usf"], "readouts": ["usf"], "T": [2], "grid": 2,
    }  # fmt: skip
    return build("chain", shape=SHAPE, classes=CLASSES, choices={**small, **choices})


def nb201(**choices: Any) -> Space:
    small = {"rules": ["usf"], "readouts": ["usf"], "channels": [3], "stages": 1, "T": [2], "ops": ["none", "conv1"]}
    return build("nb201", shape=SHAPE, classes=CLASSES, choices={**small, **choices})


def darts(**choices: Any) -> Space:
    small = {
        "rules": ["usf"], "readouts": ["usf"], "channels": [2], "cells": [1], "reductions": 0, "nodes": 2, "stack": 1,
        "T": [2], "ops": ["skip", "dil3"],
    }  # fmt: skip
    return build("darts", shape=SHAPE, classes=CLASSES, choices={**small, **choices})
