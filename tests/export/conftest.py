"""Networks that fire: batch norms with real statistics, so that what is compared is not silence."""

from collections.abc import Callable

import pytest
import torch

from snn_nas import network
from snn_nas.data.dataset import Normalise
from snn_nas.genotype import parse
from snn_nas.network import Network

Make = Callable[..., Network]


@pytest.fixture
def make() -> Make:
    def build(text: str, shape: tuple[int, int, int] = (3, 12, 12), classes: int = 10, seed: int = 0) -> Network:
        torch.manual_seed(seed)
        normalise = Normalise((0.4, 0.5, 0.6)[: shape[0]], (0.2, 0.25, 0.3)[: shape[0]])
        net = network.build(parse(text), shape, classes, normalise=normalise)
        images = torch.rand(32, *shape)
        net.encoding.fit(images)
        with torch.no_grad():
            for _ in range(30):
                net(images)
            for layer in net:
                if not isinstance(layer.norm, torch.nn.Identity):
                    layer.norm.running_mean -= 0.6  # or leaky neurons further up fall silent
                for parameter in layer.norm.parameters():
                    parameter.add_(0.1 * torch.randn_like(parameter))
        return net.eval()

    return build
