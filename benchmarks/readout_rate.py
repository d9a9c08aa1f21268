"""Claim: a readout whose rate grows as its inputs get fewer learns in few steps what one rate for all does not.

The same networks, data, steps and seeds, twice: with the readout's declared optimiser, and with one rate whatever its
inputs. Three convolutions of 32 channels under one rule, or a mix, and a readout of 288 inputs, on Fashion-MNIST; and
three under back-propagation with a readout of 128 on CIFAR-10, for longer. Accuracies are of validation images, last
epoch; the test split stays shut.

    python -m benchmarks.readout_rate --out benchmarks/results/readout_rate.json
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.twice import Case, main
from rules.registry import Optimiser
from snn_nas.training import Training

LAYER = "conv(c=32,down=avg,k=3)@{rule}/lif(reset=hard,threshold=0.5)"
RULES = {
    "frozen": ("frozen", "frozen", "frozen", ""),
    "stdp": ("stdp", "stdp", "stdp", ""),
    "local": ("local", "local", "local", ""),
    "frsf": ("gradient", "frsf", "frsf", "~frsf"),
    "stdp, frsf, frsf": ("stdp", "gradient", "frsf", "~frsf"),
    "bp": ("bp", "bp", "bp", "~exact"),
}
POOLED = (
    "chain(T=4,encoding=whiten){conv(c=32,k=3,down=avg)@bp/lif(threshold=0.5); "
    "conv(c=64,k=3,down=avg)@bp/lif(threshold=0.5); conv(c=128,k=3,down=avg)@bp/lif(threshold=0.5); "
    "readout(grid=1)@delta~exact}"
)


def cases() -> Iterator[Case]:
    """Fashion-MNIST first, which is quick."""
    sizes, training = {"train": 2000, "validation": 4000}, Training(epochs=3, batch_size=32, precision="bfloat16")
    for name, (*rules, carrier) in RULES.items():
        layers = "; ".join(LAYER.format(rule=rule) for rule in rules)
        text = f"chain(T=4,encoding=whiten){{{layers}; readout(grid=3)@delta{carrier}}}"
        yield Case(name, text, "fashion_mnist", sizes, training)
    sizes, training = {"train": 5000, "validation": 4000}, Training(epochs=10, batch_size=64, precision="bfloat16")
    yield Case("bp, pooled to 128", POOLED, "cifar10_jpeg", sizes, training)


@contextmanager
def one_rate() -> Iterator[None]:
    """Within the block the inputs count for nothing."""
    declared = Optimiser.of
    Optimiser.of = lambda self, _: replace(self, inputs=None)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Optimiser.of = declared  # type: ignore[method-assign]


if __name__ == "__main__":
    main(__doc__, "readout_rate", cases(), one_rate, ("one_rate", "by_inputs"))
