"""All networks of a DARTS space, counted, and one of them drawn: first where errors go, then shapes that allow it.

Rules on the edges of the repeated cell (`Repeated`): the facts of its two cells decide everything, some hundred cases.
Rules of their own for every stacked cell (`Stacked`): the operations are still those of the two cells, so the number
of networks is, over all shapes of the normal cell, a sum over paths through the stack. Reductions are few: their facts
are fixed first, and the shapes of the reduction cell summed up for each choice of them.
"""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from snn_nas.spaces.darts_flow import STARTS, Behaviour, Move, Stack, State, step
from snn_nas.spaces.darts_shapes import FACTS, Facts, Profile
from snn_nas.spaces.draw import drawn

Profiles = Mapping[Profile, int]
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """A network without its names: where errors go, and what its cells' shapes are like.

    Attributes:
        stem: whether the stem needs an error.
        facts: of every stacked cell.
        profiles: of the normal cell and, where there is one, of the reduction.
    """

    stem: bool
    facts: tuple[Facts, ...]
    profiles: tuple[Profile, ...]

    def below(self, cell: int) -> tuple[bool, bool]:
        """Whether what the two preprocessing layers of a cell read wants an error."""
        wants = (self.stem, self.stem, *(facts.wants for facts in self.facts))
        return wants[cell], wants[cell + 1]


class Census(ABC):
    """All networks of a stack, from the number of its cells' shapes by profile."""

    def __init__(self, stack: Stack, profiles: Sequence[Profiles]) -> None:
        self.stack = stack
        self.cells: list[dict[Behaviour, dict[Profile, int]]] = []
        for shapes in profiles:
            grouped: dict[Behaviour, dict[Profile, int]] = defaultdict(dict)
            for profile, count in shapes.items():
                grouped[stack.behaviour(profile)][profile] = count
            self.cells.append(grouped)

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of networks."""

    @abstractmethod
    def draw(self, rng: random.Random) -> Drawn:
        """One of them, uniformly."""


class Repeated(Census):
    """One normal cell and one reduction, rules included."""

    @property
    def size(self) -> int:
        """See `Census.size`."""
        return sum(self._cases.values())

    def draw(self, rng: random.Random) -> Drawn:
        """See `Census.draw`."""
        stem, *facts = _pick(rng, self._cases)
        profiles = []
        for shapes, each in zip(self.cells, facts, strict=True):
            at = FACTS.index(each)
            profiles.append(_pick(rng, {p: n * b[at] for b, members in shapes.items() for p, n in members.items()}))
        return Drawn(stem, self._everywhere(facts), tuple(profiles))

    def _everywhere(self, facts: Sequence[Facts]) -> tuple[Facts, ...]:
        return tuple(facts[kind] for kind in self.stack.kinds)

    @cached_property
    def _cases(self) -> dict[tuple[bool, *tuple[Facts, ...]], int]:
        """By what the stem needs, and the facts of the cells: the number of networks."""
        totals = [
            [sum(b[at] * sum(members.values()) for b, members in shapes.items()) for at in range(len(FACTS))]
            for shapes in self.cells
        ]
        cases: dict[tuple[bool, *tuple[Facts, ...]], int] = {}
        for start in STARTS:
            for facts in itertools.product(FACTS, repeat=len(self.cells)):
                count = self.stack.stem(start.newer) * self._around(start, facts)
                for total, each in zip(totals, facts, strict=True):
                    count *= total[FACTS.index(each)]
                if count:
                    cases[start.newer, *facts] = count
        return cases

    def _around(self, start: State, facts: Sequence[Facts]) -> int:
        """The choices for preprocessing and readout; none if some error does not arrive."""
        state: State | None = start
        older, newer = [False, False], [False, False]  # by kind: whether any copy reads what wants an error
        for cell, kind in enumerate(self.stack.kinds):
            assert state is not None
            older[kind] |= state.older
            newer[kind] |= state.newer
            if (state := step(state, facts[kind], cell == 0)) is None:
                return 0
        assert state is not None
        kinds = (self.stack.around(each, o, n) for each, o, n in zip(facts, older, newer, strict=False))
        return math.prod(kinds) * self.stack.end(state)


Values = Mapping[State, int]
"""A number of ways for each state."""


class Stacked(Census):
    """The same operations in every normal cell and in every reduction, but rules of their own for each stacked cell."""

    @property
    def size(self) -> int:
        """See `Census.size`."""
        return sum(self._sizes.values())

    @cached_property
    def _sizes(self) -> dict[Behaviour, int]:
        """By the behaviour of the normal cell: the number of networks."""
        return {
            behaviour: sum(members.values()) * sum(self._halvings(behaviour).values())
            for behaviour, members in self.cells[0].items()
        }

    def _halvings(self, behaviour: Behaviour) -> dict[tuple[Facts, ...], int]:
        """By the facts of the reductions, from below: the number of networks, for one normal shape.

        Errors run through a run of normal cells alike whatever the reductions are, so each run is walked once for every
        choice of facts *below* it: from the stem up to the last reduction, and from the readout down to it.
        """
        kinds = self.stack.kinds
        last = len(kinds) - 1 - kinds[::-1].index(1) if any(kinds) else len(kinds)
        found: dict[tuple[Facts, ...], Values] = {(): {state: self.stack.stem(state.newer) for state in STARTS}}
        for cell in range(last):
            if kinds[cell]:
                found = {
                    (*facts, each): _up(self._halving[each], ways) for facts, ways in found.items() for each in FACTS
                }
            else:
                moves = self._normal(cell, behaviour)
                found = {facts: _up(moves, ways) for facts, ways in found.items()}
        ends: Values = _Readout(self.stack)
        for cell in range(len(kinds) - 1, last, -1):
            ends = _down(self._normal(cell, behaviour), ends)
        above = {(): ends} if last == len(kinds) else {(each,): _down(self._halving[each], ends) for each in FACTS}
        return {
            (*facts, *top): self._reductions[facts + top] * sum(n * down[state] for state, n in ways.items())
            for facts, ways in found.items()
            for top, down in above.items()
        }

    def _normal(self, cell: int, behaviour: Behaviour) -> Moves:
        """The moves over a normal cell, and the choices of each, the rules of its edges included."""
        counts = dict(zip(FACTS, behaviour, strict=True))
        return _together((move, move.choices * counts[move.facts]) for move in self.stack.moves[cell > 0])

    @cached_property
    def _halving(self) -> dict[Facts, Moves]:
        """By its facts: the moves over a reduction; the rules of its edges are counted in `_reductions`."""
        moves = self.stack.moves[True]  # a reduction is never the first cell
        return {facts: _together((move, move.choices) for move in moves if move.facts == facts) for facts in FACTS}

    @cached_property
    def _reductions(self) -> _AnyOrder:
        """By the facts of all reductions, in any order: the number of shapes of that cell with rules that agree."""
        found = _AnyOrder()
        if len(self.cells) == 1:
            found[()] = 1
            return found
        for behaviour, members in self.cells[1].items():
            able = [(facts, count) for facts, count in zip(FACTS, behaviour, strict=True) if count]
            shapes = sum(members.values())
            for way in itertools.combinations_with_replacement(able, self.stack.reductions):
                found[tuple(facts for facts, _ in way)] += shapes * math.prod(count for _, count in way)
        return found

    def draw(self, rng: random.Random) -> Drawn:
        """See `Census.draw`."""
        behaviour = _pick(rng, self._sizes)
        profiles = [_pick(rng, self.cells[0][behaviour])]
        halving = _pick(rng, self._halvings(behaviour))
        if halving:
            at = [FACTS.index(each) for each in halving]
            weights = {p: n * math.prod(b[i] for i in at) for b, each in self.cells[1].items() for p, n in each.items()}
            profiles.append(_pick(rng, weights))
        counts, left = dict(zip(FACTS, behaviour, strict=True)), list(halving)
        able: list[list[tuple[Move, int]]] = []
        ahead: list[Values] = [_Readout(self.stack)]
        for cell in reversed(range(self.stack.cells)):
            only = left.pop() if self.stack.kinds[cell] else None
            moves = [move for move in self.stack.moves[cell > 0] if only in (None, move.facts)]
            able.insert(0, [(move, move.choices * (counts[move.facts] if only is None else 1)) for move in moves])
            ahead.insert(0, _down(_together(able[0]), ahead[0]))
        state = _pick(rng, {start: self.stack.stem(start.newer) * ahead[0][start] for start in STARTS})
        stem, path = state.newer, []
        for choices, above in zip(able, ahead[1:], strict=True):
            move = _pick(rng, {move: n * above[move.after] for move, n in choices if move.before == state})
            path.append(move.facts)
            state = move.after
        return Drawn(stem, tuple(path), tuple(profiles))


Moves = Mapping[State, Values]
"""From each state below a cell to those above it: in how many ways."""


def _together(moves: Iterable[tuple[Move, int]]) -> Moves:
    """The moves between two states, added up."""
    found: dict[State, Counter[State]] = defaultdict(Counter)
    for move, count in moves:
        if count:
            found[move.before][move.after] += count
    return found


def _up(moves: Moves, below: Values) -> Values:
    """The ways to arrive at each state above a cell, from those below it."""
    found: Counter[State] = Counter()
    for before, ways in below.items():
        for after, count in moves.get(before, {}).items():
            found[after] += ways * count
    return found


def _down(moves: Moves, above: Values) -> Values:
    """The ways to go on from each state below a cell, from those above it."""
    found: Counter[State] = Counter()
    for before, ways in moves.items():
        found[before] = sum(count * above[after] for after, count in ways.items())
    return found


class _AnyOrder(Counter[tuple[Facts, ...]]):
    """Counts that do not depend on the order of their facts."""

    def __missing__(self, facts: tuple[Facts, ...]) -> int:
        ordered = tuple(sorted(facts))
        return 0 if ordered == facts else self[ordered]


class _Readout(dict[State, int]):
    """Above the last cell: the choices for the readout."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def __missing__(self, state: State) -> int:
        return self.stack.end(state)


def _pick(rng: random.Random, weights: Mapping[T, int]) -> T:
    return drawn(rng, list(weights), list(weights.values()))
