"""A moving average of a network's weights, steadier than the last step's (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """The exponential moving average of all parameters and of the norms' statistics.

    Its decay is that of an average over few steps at first, (1 + n) / (10 + n), so that it forgets the start.

    Args:
        network: whose weights are averaged; what is not floating point is taken as it is.
        decay: what is left of the average after one step, below 1; 0 follows the weights themselves.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._network = network
        self._mean = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """After an optimiser's step."""
        self.steps += 1
        decay = min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))
        for name, value in self._network.state_dict().items():
            mean = self._mean[name]
            if mean.is_floating_point():
                mean.lerp_(value, 1.0 - decay)
            else:
                mean.copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block, the network has the averaged weights."""
        own = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        self._network.load_state_dict(self._mean)
        try:
            yield
        finally:
            self._network.load_state_dict(own)

    def settle(self) -> None:
        """Give the network the averaged weights for good."""
        self._network.load_state_dict(self._mean)

    def state_dict(self) -> dict[str, int | dict[str, Tensor]]:
        """The average so far."""
        return {"steps": self.steps, "mean": self._mean}

    def load_state_dict(self, state: dict[str, int | dict[str, Tensor]]) -> None:
        """Go on where `state_dict` was taken."""
        steps, mean = state["steps"], state["mean"]
        assert isinstance(steps, int)
        assert isinstance(mean, dict)
        self.steps = steps
        for name, value in mean.items():
            self._mean[name].copy_(value)
