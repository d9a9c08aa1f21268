"""Training-free filters: what a network that nobody has trained says about itself. `(network, images) -> score`.

A score is a guess at how accurate the network will be, by which candidates are sorted before one of them is trained;
more is better, and only its rank means anything. The one to beat is `parameters`: most such scores follow the size of a
network and little else (White et al. 2022, "A deeper look at zero-cost proxies", ICLR blog track). How well each one
does is measured by `benchmarks/filters.py`, and stands in `docs/search.md`: none is seen to beat it there, so
none is on unless it is asked for.

One filter is one file here with a function `score`, and one line in `FILTERS`. This module is free of torch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from snn_nas.genotype import Genotype
from snn_nas.search.strategy import trial_seed

if TYPE_CHECKING:
    from torch import Tensor

    from snn_nas.data import Dataset
    from snn_nas.evaluation import EvaluationSettings

IMAGES = 64
"""Of the batch on which networks are looked at."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What is known of a filter without importing it."""

    name: str
    paper: str
    help: str


FILTERS: Mapping[str, Filter] = {
    each.name: each
    for each in (
        Filter("parameters", "the baseline", "the number of synaptic weights"),
        Filter("sahd", "Kim et al. 2022, arXiv 2201.10355", "how differently images make it spike, at equal sparsity"),
        Filter("naswot", "Mellor et al. 2021, arXiv 2006.04647", "the same by plain Hamming distance"),
        Filter("firing_rate", "bounds on every layer", "how far the rates of its layers lie from [0.02, 0.5]"),
    )
}


class Scorer:
    """Scores genotypes by one filter, each as its trial would start: with the weights that the trial's seed draws."""

    def __init__(self, name: str, settings: EvaluationSettings, seed: int) -> None:
        """`settings` say on which data; `seed` is the search's."""
        self.name, self.settings, self.seed, self.seconds = name, settings, seed, 0.0
        self._known: dict[str, float] = {}
        self._data: dict[object, tuple[Dataset, Tensor]] = {}

    def __call__(self, genotype: Genotype) -> float:
        """The score on the first training images."""
        if genotype.digest not in self._known:
            started = time.process_time()
            self._known[genotype.digest] = self._score(genotype)
            self.seconds += time.process_time() - started
        return self._known[genotype.digest]

    def _score(self, genotype: Genotype) -> float:
        import torch

        from snn_nas.network import build

        data, images = self._images(genotype)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(trial_seed(self.seed, genotype.digest))
            network = build(genotype, data.shape, data.classes, normalise=data.normalise)
            network.encoding.fit(images)
            return float(import_module(f"{__name__}.{self.name}").score(network, images))

    def _images(self, genotype: Genotype) -> tuple[Dataset, Tensor]:
        steps = genotype.settings.get("T")  # recordings are cut into as many
        if steps not in self._data:
            data = self.settings.load(genotype)
            self._data[steps] = data, next(data.train.batches(IMAGES))[0]
        return self._data[steps]
