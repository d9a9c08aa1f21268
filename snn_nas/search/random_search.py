"""Random search: the control that every strategy must beat (Li and Talwalkar, 2019, arXiv 1902.07638)."""

from __future__ import annotations

from snn_nas.genotype import Genotype
from snn_nas.search.strategy import Strategy


class RandomSearch(Strategy):
    """Uniform over the space, without repeats."""

    name = "random"
    paper = "Li and Talwalkar 2019, arXiv 1902.07638"

    def propose(self) -> Genotype:
        """Draw one genotype uniformly."""
        return self.space.sample(self.rng)
