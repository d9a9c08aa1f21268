"""EG-NAS: CMA-ES over architecture weights, weights trained by gradients (Cai, Chen, Liu, Ling and Lai, AAAI 2024).

A population of architecture weights is drawn, each is scored by the loss of its network, on weights which all networks
share; the distribution moves towards the best, and the shared weights train on (`snn_nas.supernet.evolve`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from neurons.settings import Setting
from snn_nas.search.one_shot import OneShot
from snn_nas.search.predictor import Predictor


class EGNAS(OneShot):
    """One network at a time is trained and scored, so any space will do."""

    name = "eg_nas"
    paper = "Cai et al. 2024, EG-NAS (AAAI); with rules, Hamzaoui and Baghdadi 2025, arXiv 2507.13485"
    training: ClassVar[Mapping[str, Setting]] = {
        "epochs": Setting(20, 1, 10_000, help="passes of the shared weights over half of the training images"),
        "warmup": Setting(0.3, 0.0, 0.9, help="share of the epochs before the first generation; 15 of 50 as published"),
        "generations": Setting(30, 1, 100_000, help="of CMA-ES, spread over the epochs after the warm-up"),
        "population": Setting(
            30, 0, 10_000, help="architecture weights a generation; 0 is CMA-ES's own choice, often too few"
        ),
        "sigma": Setting(1.0, 1e-3, 100.0, help="spread of the first generation"),
        "diversity": Setting(
            0.0,
            0.0,
            100.0,
            help="how much a good network shall differ from the mean, and a bad one be like it; 0.4"
            " as published, for a single generation: over many it keeps the mean from where it is best",
        ),
        "images": Setting(250, 2, 100_000, help="held-out training images on which a generation is scored"),
    }
    settings: ClassVar[Mapping[str, Setting]] = {**Predictor.settings, **training}
