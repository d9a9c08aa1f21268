"""The ask/tell contract between a search strategy and whatever runs its trials.

A strategy is a deterministic function of its seed and of the order of `ask` and `tell`: the same calls give the same
genotypes, after `load_state_dict` as well. It never proposes one genotype twice. `random`, `local_search`, `evolution`
and `nsga2` do so on every machine with the same Python, for they draw from Python's generator and compare numbers. The
`predictor`, and `darts` and `eg_nas` with it, choose by the largest of sums that BLAS works out, whose last bits differ
between its builds and kinds of CPU: the same machine gives the same genotypes, and another one does unless two
candidates, or two kernels, are equal to within these bits.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar, Protocol

from neurons.errors import UserError
from neurons.settings import Setting, Value, resolve
from snn_nas.genotype import Genotype, parse
from snn_nas.search.objective import Objective
from snn_nas.search.result import Result

State = dict[str, Any]
"""Plain JSON."""

ATTEMPTS = 64
"""Draws that may hit a known genotype before we look for a new one systematically."""


class SpaceExhausted(Exception):  # noqa: N818  it is a signal, like StopIteration
    """Every genotype of the space has been proposed. The search is over: this is no error."""


class Space(Protocol):
    """The part of `snn_nas.spaces.Space` that strategies use."""

    def sample(self, rng: random.Random) -> Genotype: ...  # noqa: D102
    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype: ...  # noqa: D102
    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype: ...  # noqa: D102
    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]: ...  # noqa: D102
    def size(self) -> int: ...  # noqa: D102


def trial_seed(search_seed: int, digest: str) -> int:
    """The seed of a trial: 32 bits from the search's seed and the genotype, so independent of the trial's number."""
    return int.from_bytes(blake2b(f"{search_seed}/{digest}".encode(), digest_size=4).digest(), "big")


class Strategy(ABC):
    """A way to choose the next genotype. Subclasses write `propose` and, where they learn from results, `learn`."""

    name: ClassVar[str]
    paper: ClassVar[str]
    settings: ClassVar[Mapping[str, Setting]] = {}
    screens: ClassVar[bool] = False
    """Whether each proposal is chosen from many candidates by what the strategy expects of them."""

    def __init__(self, space: Space, objectives: Sequence[Objective], seed: int = 0, **given: Value) -> None:
        """Raise UserError for a setting that is unknown or out of range."""
        self.given = resolve(given, self.settings, f"strategy {self.name}")
        self.space = space
        self.objectives = tuple(objectives)
        self.rng = random.Random(seed)
        self.asked: dict[str, Genotype] = {}
        self.parents: dict[str, str] = {}  # digests, of those that were asked for and have one
        self._children: dict[str, str] = {}  # the same for what `propose` has just looked at

    @abstractmethod
    def propose(self) -> Genotype:
        """Draw a candidate; it may be a known one, then `ask` draws again."""

    def learn(self, result: Result) -> None:  # noqa: B027  most strategies learn, random search does not
        """Take in a result. A strategy that learns nothing keeps this one."""

    def request(self) -> State | None:
        """What has to be worked out elsewhere, with data and at length, before the first `ask`: None for most.

        The answer is handed to `supply`, and is kept in the state.
        """
        return None

    def supply(self, answer: Mapping[str, Any]) -> None:
        """Take the answer to `request`."""
        raise TypeError(f"{self.name} asked for nothing")

    def ask(self) -> Genotype:
        """Return a genotype that was never asked for before.

        Raises:
            SpaceExhausted: there is none left.
        """
        genotype = self._fresh(self.propose)
        self.asked[genotype.digest] = genotype
        if (parent := self._children.get(genotype.digest)) is not None:
            self.parents[genotype.digest] = parent
        return genotype

    def tell(self, result: Result) -> None:
        """Take in the result of a genotype that `ask` gave out."""
        if result.digest not in self.asked:
            raise KeyError(f"{result.digest} was never asked for")
        self.learn(result)

    def state_dict(self) -> State:
        """Everything that `load_state_dict` needs to continue bit for bit."""
        version, words, gauss = self.rng.getstate()
        return {
            "strategy": self.name,
            "rng": [version, list(words), gauss],
            "asked": [str(genotype) for genotype in self.asked.values()],
            "parents": dict(self.parents),
        }

    def load_state_dict(self, state: State) -> None:
        """Continue where `state_dict` was taken.

        Raises:
            UserError: the state is another strategy's.
        """
        if state["strategy"] != self.name:
            raise UserError(f"this search was started with the strategy {state['strategy']!r}, not {self.name!r}")
        version, words, gauss = state["rng"]
        self.rng.setstate((version, tuple(words), gauss))
        self.asked = {genotype.digest: genotype for genotype in map(parse, state["asked"])}
        self.parents = dict(state["parents"])

    def _gains(self, result: Result) -> list[float]:
        """In each objective, more is better; NaN where the trial did not end well."""
        return [objective.gain(result) for objective in self.objectives]

    def _child(self, child: Genotype, parent: str) -> Genotype:
        """A candidate that `propose` made from the network of this digest: it may inherit its weights."""
        self._children[child.digest] = parent
        return child

    def _fresh(self, draw: Callable[[], Genotype]) -> Genotype:
        """Draw until the genotype is new; in a nearly used-up space, walk over the neighbours of what is known."""
        if len(self.asked) >= self.space.size():
            raise SpaceExhausted
        for _ in range(ATTEMPTS):
            self._children.clear()
            genotype = draw()
            if genotype.digest not in self.asked:
                return genotype
        for known in self.asked.values():
            for genotype in self.space.neighbours(known):
                if genotype.digest not in self.asked:
                    return genotype
        raise SpaceExhausted
