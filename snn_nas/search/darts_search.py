"""First-order DARTS over operations and rules (Liu, Simonyan and Yang 2019, arXiv 1806.09055), as in the source paper.

Weights and architecture weights take turns: the former step on one half of the training images, each by its own rule,
the latter on the other half, by the exact gradient of the loss through the mixture (`snn_nas.supernet.bilevel`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from neurons.settings import Setting
from snn_nas.search.one_shot import OneShot
from snn_nas.search.predictor import Predictor


class DARTS(OneShot):
    """Every choice is mixed at once: for spaces whose networks have one T, one encoding and one size."""

    name = "darts"
    paper = "Liu et al. 2019, arXiv 1806.09055; with rules, Hamzaoui and Baghdadi 2025, arXiv 2507.13485"
    training: ClassVar[Mapping[str, Setting]] = {
        "epochs": Setting(20, 1, 10_000, help="passes of the supernet over half of the training images"),
        "warmup": Setting(0.2, 0.0, 0.9, help="share of the epochs in which weights alone are trained"),
        "architecture_lr": Setting(0.01, 1e-6, 10.0, help="of the architecture weights; 3e-4 as published"),
        "layers": Setting(600, 1, 100_000, help="largest number of layers that a supernet may mix"),
    }
    settings: ClassVar[Mapping[str, Setting]] = {**Predictor.settings, **training}
