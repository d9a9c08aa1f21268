"""What a network answers: classes, and the share of them that is right. Nothing learns."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_nas.data import Split
from snn_nas.network import Network


@torch.no_grad()
def predict(network: Network, split: Split, *, batch_size: int = 250, device: torch.device | str = "cpu") -> Tensor:
    """Class indices `[N]`, in evaluation mode; nothing learns. Random codes are drawn alike each time."""
    network.eval()
    if network.online:  # which trains with memory flat in T: no batch of all its steps is larger than at T = 4
        batch_size = max(1, batch_size * 4 // max(4, network.graph.T))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        batches = split.batches(batch_size, device=device)
        return torch.cat([network(images).mean(0).argmax(1) for images, _ in batches])


def accuracy(network: Network, split: Split, *, device: torch.device | str = "cpu") -> float:
    """The share of a split that is classified rightly."""
    return float((predict(network, split, device=device).cpu() == split.labels.cpu()).float().mean())
