"""The settings of a training run, free of torch so that a configuration is checked in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurons.settings import Setting, Value, resolve

REVISION = 5
"""Of how networks are trained: raised when the same settings and seed give other weights, so that no search,
study or checkpoint goes on with networks of two kinds."""

SETTINGS: dict[str, Setting] = {
    "epochs": Setting(5, 1, 100_000, help="passes over the training data"),
    "batch_size": Setting(64, 2, 65_536, help="images a step"),
    "lr": Setting(1.0, 1e-6, 1e3, help="factor on the learning rate that each rule declares"),
    "label_smoothing": Setting(0.0, 0.0, 0.5, help="share of the target that is spread over all classes"),
    "augment": Setting(False, help="crop and flip as the data set declares"),
    "cutout": Setting(
        0, 0, 1024, help="side of a square set to zero, in pixels, below the image's (DeVries 2017); 0 is none"
    ),
    "layerwise_epochs": Setting(1, 1, 1000, help="passes for each layer that learns before the others"),
    "warmup": Setting(0.0, 0.0, 0.5, help="share of all steps over which learning rates rise from nothing"),
    "loss": Setting(
        "mean", choices=("mean", "tet"), help="cross-entropy of the currents' mean, or its mean over steps (Deng 2022)"
    ),
    "ema": Setting(0.0, 0.0, 0.99999, help="decay of a moving average of the weights, which is then kept; 0 is none"),
    "mixup": Setting(0.0, 0.0, 10.0, help="alpha of mix-up, Beta(alpha, alpha) (Zhang 2018); 0 is none"),
    "drop_path": Setting(0.0, 0.0, 0.9, help="probability to which dropping paths into sums rises; 0 is none"),
    "auxiliary": Setting(0.0, 0.0, 10.0, help="weight of an auxiliary head's loss, where the space has one"),
    "recompute": Setting(False, help="gradient checkpointing: less memory, one more forward pass; not step by step"),
    "compile": Setting(False, help="torch.compile for layers: for long trainings on a GPU"),
    "precision": Setting("float32", choices=("float32", "bfloat16"), help="of synaptic products while training"),
}


@dataclass(frozen=True)
class Training:
    """How long and how to train; `SETTINGS` has the ranges.

    Raises:
        UserError: a value out of range.
    """

    epochs: int = 5
    batch_size: int = 64
    lr: float = 1.0
    label_smoothing: float = 0.0
    augment: bool = False
    cutout: int = 0
    layerwise_epochs: int = 1
    warmup: float = 0.0
    loss: str = "mean"
    ema: float = 0.0
    precision: str = "float32"
    mixup: float = 0.0
    drop_path: float = 0.0
    auxiliary: float = 0.0
    recompute: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name, value in check({name: getattr(self, name) for name in SETTINGS}).items():
            object.__setattr__(self, name, value)


def check(given: Mapping[str, Value]) -> dict[str, Value]:
    """Fill in defaults.

    Raises:
        UserError: an unknown setting, or a value out of range.
    """
    return resolve(given, SETTINGS, "training")
