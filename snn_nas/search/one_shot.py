"""One-shot search: a supernet that holds every network of the space is trained once, and says what to try.

What it says is a prior, and no more. Architecture weights are trained with exact gradients, or scored on shared weights
that few batches have trained; a transport acts on the layers below, through the error that they get, and of that
neither sees anything. So the supernet gives the order in which networks are tried, and the results of these trials,
which are short real trainings, re-rank what comes next, rules above all:

1. The first `initial` networks are the most preferred ones, in order.
2. From then on the score (a normal score of the results' ranks) is expected to be

       slope * preference(topology)  +  slope' * preference(rules)  +  Gaussian process(whole genotype),

   fitted to all results so far, in this order. Where results do not follow the supernet's preference a slope is 0, the
   rules' by itself, and what is left is the search of `snn_nas.search.predictor`.

Candidates are drawn from the supernet's distribution, and mutated from the best so far. Training the supernet is no
matter of a strategy, which is free of torch and data: it asks for it by `request`, and whoever runs the search
(`snn_nas.nni.study`) answers by `supply`. The answer is part of the state, so a resumed search trains none again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any, ClassVar, cast

from neurons.errors import UserError
from neurons.settings import Setting, Value
from snn_nas.genotype import Genotype, parse
from snn_nas.search.objective import Objective
from snn_nas.search.predictor import Predictor
from snn_nas.search.preferences import CodedSpace, Preferences, assigns_rule
from snn_nas.search.strategy import Space, State

PARTS: tuple[Callable[[str], bool], ...] = (lambda key: not assigns_rule(key), assigns_rule)
"""The keys of topology, then those of rules: each part of the supernet's preference is believed by itself."""
DRAWS = 10
"""Networks that are drawn for each one of the `initial` that are then taken, the most preferred ones first."""


class OneShot(Predictor):
    """What both procedures share; a subclass names its procedure of `snn_nas.supernet` and the settings of that."""

    training: ClassVar[Mapping[str, Setting]]
    """The settings of the supernet's training; the others are the predictor's."""

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> None:
        super().__init__(space, objectives, seed, **given)
        self.seed = seed
        self.preferences: Preferences | None = None
        self.order: list[Genotype] = []

    def request(self) -> State | None:
        """What `supply` is to be given: the procedure, its settings and the seed; None once it has been."""
        if self.preferences is not None:
            return None
        return {"procedure": self.name, "seed": self.seed, **{key: self.given[key] for key in self.training}}

    def supply(self, answer: Mapping[str, Any]) -> None:
        """Take the architecture weights of a trained supernet, `{"logits": {key: [one for each choice]}}`."""
        self._prefer(answer["logits"])
        self.order = self._ranked()

    def propose(self) -> Genotype:
        """The next in the supernet's order; then the most promising candidate.

        Raises:
            UserError: no supernet was trained, because there is nothing to train it on.
        """
        if self.preferences is None:
            raise UserError(f"strategy {self.name} trains a supernet on real data: it cannot search a table or a toy")
        while self.order and len(self.told) < int(self.given["initial"]):
            if (genotype := self.order.pop(0)).digest not in self.asked:
                return genotype
        values = self._values() if self.told else []
        candidates = self._candidates(values) if self.told else []
        if not candidates:
            return self._anywhere()
        known = [self.asked[digest] for digest in self.told]
        left, slopes = values, list[float]()
        for part in PARTS:
            prior = [self.preferences.of(genotype, part) for genotype in known]
            slopes.append(_slope(prior, left))
            left = [value - slopes[-1] * each for value, each in zip(left, prior, strict=True)]
        middle = sum(left) / len(left)
        mean, deviation = self._predict([each - middle for each in left], candidates)
        preferred = [[self.preferences.of(genotype, part) for part in PARTS] for genotype in candidates]
        expected = mean + [sum(map(mul, slopes, parts)) for parts in preferred]
        return candidates[int((expected + float(self.given["explore"]) * deviation).argmax())]

    def state_dict(self) -> State:
        """The predictor's state, the architecture weights and what is left of the order."""
        logits = None if self.preferences is None else {k: list(v) for k, v in self.preferences.logits.items()}
        return {**super().state_dict(), "logits": logits, "order": [str(genotype) for genotype in self.order]}

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken."""
        super().load_state_dict(state)
        self.preferences = None
        if state["logits"] is not None:
            self._prefer(state["logits"])
        self.order = [parse(text) for text in state["order"]]

    def _prefer(self, logits: Mapping[str, Sequence[float]]) -> None:
        space = cast(CodedSpace, self.space)
        self.preferences = Preferences(space, {key: tuple(map(float, each)) for key, each in logits.items()})

    def _ranked(self) -> list[Genotype]:
        """The most preferred networks that were drawn, the best choices' own first."""
        assert self.preferences is not None
        wanted = int(self.given["initial"])
        best = self.preferences.best()
        drawn = {g.digest: g for g in (self.preferences.draw(self.rng) for _ in range(DRAWS * wanted))}
        drawn.pop(best.digest, None)
        others = sorted(drawn.values(), key=lambda g: (-self.preferences.of(g), str(g)))  # type: ignore[union-attr]
        return [best, *others[: wanted - 1]]

    def _anywhere(self) -> Genotype:
        assert self.preferences is not None
        return self.preferences.draw(self.rng)


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the least-squares line, 0 where it falls: a supernet that prefers the worse is not believed in reverse."""
    middle = sum(x) / len(x)
    spread = sum((each - middle) ** 2 for each in x)
    return max(0.0, sum((a - middle) * b for a, b in zip(x, y, strict=True)) / spread) if spread else 0.0
