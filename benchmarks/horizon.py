"""Claim: layers that forget their weights learn more than layers that forget nothing.

The same networks, data, steps and seeds, twice: with the decay that the rules declare (`Optimiser.horizon`), and with
none. Three convolutions under one rule, or a mix: 32 channels on 2,000 images of Fashion-MNIST, and the network of
`rules_learn` on 10,000 images of CIFAR-10, 3 passes each. These are below 500 steps, where a layer forgets the most
that it may in a step (`MOST_FORGOTTEN`) whatever the horizon; ten passes in smaller batches are above, where the
horizon decides. Accuracies are of validation images, last epoch; the test split stays shut.

    python -m benchmarks.horizon --out benchmarks/results/horizon.json
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.twice import Case, main
from rules.registry import MOST_FORGOTTEN, Optimiser, pair
from snn_nas.training import Training

SMALL = "conv(c=32,down=avg,k=3)@{rule}/lif(reset=hard,threshold=0.5)"
LARGE = ("conv(c=32,k=5,down=avg)", "conv(c=64,k=3,down=avg)", "conv(c=64,k=3,down=none)")


def cases() -> Iterator[Case]:
    """Fashion-MNIST first, which is quick."""
    sizes, training = {"train": 2000, "validation": 4000}, Training(epochs=3, batch_size=32, precision="bfloat16")
    for name in ("bp", "frsf", "kp", "stdp, frsf, frsf", "local", "eprop", "dfa(feedback=learned)"):
        rules = name.split(", ") if ", " in name else [name] * 3
        text = chain([SMALL.format(rule=rule) for rule in rules], rules[-1], grid=3)
        yield Case(name, text, "fashion_mnist", sizes, training)
    longer = replace(training, epochs=10, batch_size=16)
    for name in ("bp", "frsf"):
        text = chain([SMALL.format(rule=name)] * 3, name, grid=3)
        yield Case(name, text, "fashion_mnist", sizes, longer)
    sizes, training = {"train": 10_000, "validation": 5000}, Training(epochs=3, batch_size=64, precision="bfloat16")
    for name in ("bp", "frsf"):
        text = chain([f"{place}@{name}/lif(threshold=0.5)" for place in LARGE], name, grid=8)
        yield Case(name, text, "cifar10_jpeg", sizes, training)


def chain(layers: list[str], last: str, grid: int) -> str:
    """As text; the readout hands the error down as the last layer wants it."""
    transport = pair(last.partition("(")[0]).transport
    return f"chain(T=4,encoding=whiten){{{'; '.join(layers)}; readout(grid={grid})@delta~{transport}}}"


@contextmanager
def nothing_forgotten() -> Iterator[None]:
    """Within the block no weights decay."""
    declared = Optimiser.decay
    Optimiser.decay = lambda *_: 0.0  # type: ignore[method-assign]
    try:
        yield
    finally:
        Optimiser.decay = declared  # type: ignore[method-assign]


if __name__ == "__main__":
    horizon = pair("bp").optimiser.horizon
    said = {"horizon": horizon, "most": MOST_FORGOTTEN}
    main(__doc__, "horizon", cases(), nothing_forgotten, ("nothing", "declared"), **said)
