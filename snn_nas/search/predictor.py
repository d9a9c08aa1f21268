"""Predictor-guided search: train a cheap model on the results so far, and ask for what it expects most of.

Bayesian optimisation as in NAS-BOWL (Ru et al., 2021): a Gaussian process over the Weisfeiler-Lehman features of the
genotype, candidates from mutating the best so far, the upper confidence bound to choose. Values enter by their rank,
turned into normal scores, so that one network that does not learn cannot stretch the scale on which good ones differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, ClassVar

from neurons.settings import Setting, Value
from snn_nas.genotype import Genotype
from snn_nas.search.features import features
from snn_nas.search.objective import Objective
from snn_nas.search.result import Result
from snn_nas.search.strategy import Space, State, Strategy

if TYPE_CHECKING:
    from snn_nas.search.gaussian import Array, GaussianProcess

Gain = float | tuple[int, float] | None
"""In one objective; how far a trial came that was stopped; None where there is nothing."""

REFIT = 10
"""Results after which the kernel's scale and noise are chosen anew."""


class Predictor(Strategy):
    """The first `initial` genotypes are random; then each is the most promising of `pool` candidates.

    With several objectives, every proposal draws a weight for each and optimises the worst weighted rank (ParEGO,
    Knowles 2006). In every objective, a trial that was stopped counts as worse than all that ran to their end, the more
    so the less far it came (`Result.reached`), and one that did not end well as the worst seen, so its like is avoided.
    """

    name = "predictor"
    paper = "Ru et al. 2021, arXiv 2006.07556"
    screens = True
    settings: ClassVar[Mapping[str, Setting]] = {
        "initial": Setting(10, low=2, help="random genotypes before the first prediction"),
        "pool": Setting(100, low=2, help="candidates that are predicted for each proposal"),
        "elite": Setting(10, low=1, help="how many of the best are mutated into candidates"),
        "explore": Setting(2.0, low=0.0, help="standard deviations that are added to the prediction"),
        "random": Setting(0.2, low=0.0, high=1.0, help="part of the candidates that is drawn from the whole space"),
    }

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> None:
        super().__init__(space, objectives, seed, **given)
        self.told: dict[str, list[Gain]] = {}  # by digest, in order: one for each objective
        self.kernel: tuple[float, float] | None = None
        self.features = lru_cache(maxsize=4096)(features)
        self.model = _model()

    def propose(self) -> Genotype:
        """The most promising candidate."""
        if len(self.told) < int(self.given["initial"]):
            return self.space.sample(self.rng)
        values = self._values()
        candidates = self._candidates(values)
        if not candidates:
            return self.space.sample(self.rng)
        mean, deviation = self._predict(values, candidates)
        return candidates[int((mean + float(self.given["explore"]) * deviation).argmax())]

    def learn(self, result: Result) -> None:
        """Keep the gains."""
        self.told[result.digest] = [result.reached if math.isnan(gain) else gain for gain in self._gains(result)]
        if len(self.told) % REFIT == 0:
            self.kernel = None

    def state_dict(self) -> State:
        """The base's state, the gains and the kernel; the model itself is built from them."""
        told = {digest: list(gains) for digest, gains in self.told.items()}
        return {**super().state_dict(), "told": told, "kernel": self.kernel and list(self.kernel)}

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken."""
        super().load_state_dict(state)
        self.told = {
            digest: [(each[0], each[1]) if isinstance(each, list) else each for each in gains]
            for digest, gains in state["told"].items()
        }
        self.kernel = state["kernel"] and (state["kernel"][0], state["kernel"][1])
        self.model = _model()

    def _values(self) -> list[float]:
        """Normal scores of what was told; several objectives are made one by random weights."""
        columns = [normal_scores(column) for column in zip(*self.told.values(), strict=True)]
        if len(columns) == 1:
            return columns[0]
        weights = [self.rng.expovariate(1.0) for _ in columns]
        rows = zip(*columns, strict=True)
        return normal_scores([min(w * (score - 3.0) for w, score in zip(weights, row, strict=True)) for row in rows])

    def _predict(self, values: Sequence[float], candidates: Sequence[Genotype]) -> tuple[Array, Array]:
        """Mean and standard deviation of each candidate, learned from one value of mean 0 for each that was told.

        The kernel is kept for `REFIT` results, but only of a single objective: several are weighed anew each time, and
        one that suits another target would be kept.
        """
        known = [self.features(self.asked[digest]) for digest in self.told]
        self.model.fit(known, values, self.kernel if len(self.objectives) == 1 else None)
        self.kernel = self.model.kernel
        return self.model.predict([self.features(genotype) for genotype in candidates])

    def _candidates(self, values: Sequence[float]) -> list[Genotype]:
        """New genotypes: one or two mutations away from the best, some from anywhere."""
        digests = list(self.told)
        best = sorted(range(len(values)), key=lambda i: -values[i])[: int(self.given["elite"])]
        found: dict[str, Genotype] = {}
        for _ in range(2 * int(self.given["pool"])):
            if self.rng.random() < float(self.given["random"]):
                genotype = self._anywhere()
            else:
                parent = digests[self.rng.choice(best)]
                genotype = self.space.mutate(self.asked[parent], self.rng)
                if self.rng.random() < 1 / 3:
                    genotype = self.space.mutate(genotype, self.rng)
                self._child(genotype, parent)
            if genotype.digest not in self.asked:
                found[genotype.digest] = genotype
                if len(found) == int(self.given["pool"]):
                    break
        return list(found.values())

    def _anywhere(self) -> Genotype:
        """A candidate that comes from no other."""
        return self.space.sample(self.rng)


def _model() -> GaussianProcess:
    from snn_nas.search.gaussian import GaussianProcess  # brings numpy, which nothing else here needs

    return GaussianProcess()


def normal_scores(values: Sequence[Gain]) -> list[float]:
    """Ranks as quantiles of a normal distribution: None is the lowest, then pairs, then numbers; ties share a rank."""
    plain: list[tuple[float, ...]] = [
        (0,) if value is None else (1, *value) if isinstance(value, tuple) else (2, value) for value in values
    ]
    order = sorted(plain)
    low = {value: i for i, value in reversed(list(enumerate(order)))}
    high = {value: i for i, value in enumerate(order)}
    normal = NormalDist()
    score = {value: normal.inv_cdf((0.5 * (low[value] + high[value]) + 0.5) / len(plain)) for value in low}
    return [score[value] for value in plain]
