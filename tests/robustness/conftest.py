from __future__ import annotations

import pytest
import torch
from torch import nn

from snn_nas.data.dataset import Normalise
from snn_nas.genotype import parse
from snn_nas.network import Network, build

RULES = ("stdp", "dfa", "frozen", "local", "frsf", "bp")


def network(first: str, second: str, *, encoding: str = "direct") -> Network:
    """Two convolutions on 6x6 images of 3 classes, with statistics that a training might have left."""
    torch.manual_seed(0)
    carried = "~usf" if second in ("frsf", "bp") else ""
    text = (
        f"chain(T=3,encoding={encoding}){{conv(c=4)@{first}/lif(threshold=0.5);"
        f" conv(c=5,down=avg)@{second}/lif(threshold=0.5); readout(grid=3)@delta{carried}}}"
    )
    built = build(parse(text), (1, 6, 6), 3, normalise=Normalise((0.4,), (0.3,)))
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return built.eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(1))
