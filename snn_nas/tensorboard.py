"""What a training does, for TensorBoard: `snn-nas train ... --tensorboard DIR`, then `tensorboard --logdir DIR`.

After each epoch: loss, validation accuracy and seconds; the learning rate of each kind of optimiser; each layer's
firing rate, spikes per neuron and step; and the angle in degrees between each layer's weights and the matrix that
carries its error down, 0 for back-propagation and 90 for a random one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurons.errors import UserError
from rules.layer import Layer
from snn_nas.data import Split
from snn_nas.network import Network

if TYPE_CHECKING:
    from snn_nas.training import Epoch

IMAGES = 100
"""Of the validation split, on which firing rates are measured."""


class Board:
    """Writes one training's curves.

    Args:
        folder: TensorBoard's, for this training alone.
        after: epochs that were done before; what an interrupted run wrote of later ones is taken back.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, after: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError("--tensorboard needs the package: pip install 'snn-nas[tensorboard]'") from error
        self._writer = SummaryWriter(str(folder), purge_step=after + 1)

    def write(
        self, epoch: Epoch, network: Network, rates: dict[str, float], seen: Split, device: torch.device | str
    ) -> None:
        """One epoch. `rates` are learning rates by name; `seen` gives images for the firing rates."""
        numbers = {"loss": epoch.loss, "validation accuracy": epoch.accuracy, "seconds": epoch.seconds}
        numbers |= {f"learning rate/{name}": rate for name, rate in rates.items()}
        numbers |= {f"firing rate/{name}": rate for name, rate in firing_rates(network, seen, device).items()}
        numbers |= {f"angle/{name}": angle for name, angle in angles(network).items()}
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch.number)
        self._writer.flush()

    def close(self) -> None:
        """The training is over."""
        self._writer.close()


@torch.no_grad()
def firing_rates(network: Network, split: Split, device: torch.device | str) -> dict[str, float]:
    """Spikes per neuron and step of each spiking layer, in evaluation mode, on the first images of a split."""
    network.eval()
    images, _ = next(split.batches(IMAGES, device=device))
    aside = {name: images for name, layer in network.layers.items() if layer.population is not None}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network(images, aside=aside)
    return {name: float(spikes.mean()) for name, spikes in aside.items()}


def angles(network: Network) -> dict[str, float]:
    """Degrees between weights and feedback, of the layers that transport an error by a matrix of their own."""
    found = {}
    for name, layer in network.layers.items():
        assert isinstance(layer, Layer)
        if layer.pair.transport not in ("none", "exact"):
            weight = layer.synapse.weight.detach()
            found[name] = angle(weight, layer.transport.feedback(weight))
    return found


def angle(one: Tensor, other: Tensor) -> float:
    """Degrees between two tensors of one shape."""
    cosine = torch.cosine_similarity(one.flatten().double(), other.flatten().double(), 0)
    return float(torch.rad2deg(torch.acos(cosine.clamp(-1.0, 1.0))))
