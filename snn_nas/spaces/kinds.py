"""Which kinds of rules fit together in a repeated cell, and how many genotypes that makes.

For the question whether every error arrives, an operation is one of four kinds. A `wire` has no weights and hands the
error on. A `settled` layer needs none and hands none on. A layer that needs a transported error is `sending` if
something below needs what it hands on, else `silent`: then all transports are one, and fewer genotypes differ.

Stem, cell copies, reductions and readout lie in a row. An error from above gets through a cell if some path from output
to input meets no settled layer. So the whole network is decided by a few facts about its one cell, and genotypes are
counted by wiring and kinds, some thousands of cases, not one by one.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, cached_property
from typing import Literal

from snn_nas.spaces.wiring import INPUT, Mark, Wiring, classes

Kind = Literal["wire", "settled", "sending", "silent"]
KINDS: tuple[Kind, ...] = ("wire", "settled", "sending", "silent")
Feeds = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Macro:
    """The network around the cell. Before `settle`, a kind that needs an error is `sending`."""

    cells: int
    stages: int
    stem: Kind
    reduce: Kind | None

    @property
    def copies(self) -> int:
        """Of the cell."""
        return self.cells * self.stages

    @property
    def open(self) -> bool:
        """Whether reductions hand an error on."""
        return self.reduce != "settled"


@dataclass(frozen=True)
class Facts:
    """What the network needs to know of a cell: whether it has layers that need an error, whether an error gets through
    it, and whether what feeds its output wants an error: always, or if the cell's input does.
    """

    needs: bool
    conducts: bool
    wants: bool
    passes: bool


@dataclass(frozen=True)
class Drawn:
    """A case of the census."""

    cells: int
    stem: Kind
    reduce: Kind | None
    readout: bool  # whether its transport matters
    wiring: Wiring
    kinds: tuple[Kind, ...]


def settle(feeds: Feeds, out: tuple[int, ...], kinds: Sequence[Kind], macro: Macro) -> tuple[tuple[Kind, ...], Macro]:
    """Make `settled` whatever no error can reach: the same kinds if all is well."""
    reached = _reached(feeds, out, kinds)
    found = tuple("settled" if kind == "sending" and not ok else kind for kind, ok in zip(kinds, reached, strict=True))
    if not _facts(feeds, out, found).conducts and macro.reduce is not None:
        macro = replace(macro, reduce="settled")
    facts = _facts(feeds, out, found)
    if facts.needs and macro.copies > 1 and not (facts.conducts and macro.open):
        found = tuple("settled" if kind == "sending" else kind for kind in found)
        if macro.reduce is not None and not _facts(feeds, out, found).conducts:
            macro = replace(macro, reduce="settled")
    if not (_facts(feeds, out, found).conducts and macro.open):
        macro = replace(macro, stem="settled")
    return found, macro


def _stands(macro: Macro, facts: Facts) -> bool:
    """Whether `settle` would leave a cell in which all errors arrive, and what is around it, as they are."""
    if not facts.conducts and (macro.reduce == "sending" or macro.stem == "sending"):
        return False
    if not macro.open and macro.stem == "sending":
        return False
    return not (facts.needs and macro.copies > 1) or (facts.conducts and macro.open)


def _reached(feeds: Feeds, out: tuple[int, ...], kinds: Sequence[Kind]) -> list[bool]:
    """Which operations get an error that arrives at the cell's output."""
    reached = [vertex in out for vertex in range(len(kinds))]
    for vertex in reversed(range(len(kinds))):  # topological order: those that it feeds come first here
        if reached[vertex] and kinds[vertex] != "settled":
            for below in feeds[vertex]:
                if below != INPUT:
                    reached[below] = True
    return reached


def _facts(feeds: Feeds, out: tuple[int, ...], kinds: Sequence[Kind]) -> Facts:
    reached = _reached(feeds, out, kinds)
    conducts = INPUT in out or any(
        ok and kind != "settled" and INPUT in below for ok, kind, below in zip(reached, kinds, feeds, strict=True)
    )
    wants, passes = (_wants(feeds, kinds, below) for below in (False, True))
    return Facts("sending" in kinds, conducts, any(wants[i] for i in out), any(passes[i] for i in out))


def _wants(feeds: Feeds, kinds: Sequence[Kind], below: bool) -> dict[int, bool]:
    """Whether the output of each operation wants an error, given whether the cell's input does."""
    wants = {INPUT: below}
    for vertex, kind in enumerate(kinds):
        wants[vertex] = kind == "sending" or (kind == "wire" and any(wants[i] for i in feeds[vertex]))
    return wants


def _spelled(feeds: Feeds, kinds: Sequence[Kind], below: bool) -> tuple[Kind, ...]:
    """Tell `silent` from `sending`, given whether the cell's input wants an error in any copy."""
    wants = _wants(feeds, kinds, below)
    return tuple(
        "silent" if kind == "sending" and not any(wants[i] for i in feed) else kind
        for kind, feed in zip(kinds, feeds, strict=True)
    )


@cache
def _cases() -> tuple[tuple[Wiring, tuple[Kind, ...], Facts], ...]:
    """Every wiring with every choice of kinds in which all errors arrive inside the cell."""
    basic: tuple[Kind, ...] = ("wire", "settled", "sending")
    found = []
    for wiring in classes():
        if wiring.idle:
            continue
        for kinds in itertools.product(basic, repeat=len(wiring.edges)):
            reached = _reached(wiring.feeds, wiring.out, kinds)
            if all(ok or kind != "sending" for ok, kind in zip(reached, kinds, strict=True)):
                found.append((wiring, kinds, _facts(wiring.feeds, wiring.out, kinds)))
    return tuple(found)


@dataclass(frozen=True)
class Census:
    """The genotypes of a space, by cases.

    Attributes:
        marks: what an edge may carry.
        labels: how many genes of each kind an edge may hold.
        plain: the same for stem and reduction.
        readouts: transports of the readout.
        cells: copies a stage, the choices.
        stages: parts of the network.
    """

    marks: Collection[Mark]
    labels: Mapping[Kind, int]
    plain: Mapping[Kind, int]
    readouts: int
    cells: Sequence[int]
    stages: int

    @cached_property
    def _found(self) -> tuple[list[Drawn], list[int], int]:
        """Cases, their numbers of labelled cells, accumulated, and the number of genotypes in all."""
        drawn, weights, size = [], [], Fraction(0)
        for wiring, kinds, facts in _cases():
            if not self._writable(wiring):
                continue
            spelled = {below: _spelled(wiring.feeds, kinds, below) for below in (False, True)}
            counted = {below: self._count(wiring, spelled[below]) for below in (False, True)}
            for macro in self._macros():
                if not _stands(macro, facts):
                    continue
                around = self._around(macro, facts)
                below = macro.stem == "sending" or macro.reduce == "sending" or (macro.cells > 1 and facts.wants)
                labelled, different = counted[below]
                stem: Kind = "silent" if macro.stem == "sending" else "settled"
                factor = self.plain[stem] * (self.readouts if around[1] else 1)
                factor *= 1 if around[0] is None else self.plain[around[0]]
                if labelled * factor:
                    drawn.append(Drawn(macro.cells, stem, around[0], around[1], wiring, spelled[below]))
                    weights.append(labelled * factor)
                    size += different * factor
        return drawn, list(itertools.accumulate(weights)), int(size)

    @property
    def size(self) -> int:
        """The number of genotypes."""
        return self._found[2]

    def draw(self, rng: random.Random) -> Drawn:
        """A case, in proportion to its labelled cells."""
        drawn, weights, _ = self._found
        return drawn[bisect.bisect(weights, rng.randrange(weights[-1]))]

    def _writable(self, wiring: Wiring) -> bool:
        return all(mark in self.marks for mark in wiring.pattern if mark != "none")

    def _macros(self) -> list[Macro]:
        both: tuple[Kind, ...] = ("settled", "sending")
        reduces: tuple[Kind | None, ...] = both if self.stages > 1 else (None,)
        return [Macro(n, self.stages, stem, reduce) for n in self.cells for stem in both for reduce in reduces]

    def _around(self, macro: Macro, facts: Facts) -> tuple[Kind | None, bool]:
        """The reduction's kind as it is spelled, and whether the readout's transport matters."""
        lowest = macro.stem == "sending"
        inner = lowest if macro.reduce is None else macro.reduce == "sending"
        kind = macro.reduce
        if kind == "sending" and not (facts.wants or (facts.passes and (lowest or macro.stages > 2))):
            kind = "silent"
        return kind, facts.wants or (facts.passes and inner)

    def _count(self, wiring: Wiring, kinds: tuple[Kind, ...]) -> tuple[int, Fraction]:
        """Labellings of the operations, and this case's share of those that differ by more than a symmetry.

        By Burnside's lemma that is the mean, over all symmetries, of the labellings that each leaves as they are. The
        shares of cases that a symmetry turns into each other add up to a whole number.
        """
        fixed = 0
        for way in wiring.symmetries:
            if all(kinds[way[i]] == kind for i, kind in enumerate(kinds)):
                fixed += math.prod(self.labels[kinds[cycle]] for cycle in _cycles(way))
        return math.prod(self.labels[kind] for kind in kinds), Fraction(fixed, len(wiring.symmetries))


def _cycles(way: Sequence[int]) -> list[int]:
    """One member of each cycle of a permutation."""
    left, found = set(range(len(way))), []
    while left:
        found.append(start := min(left))
        at = start
        while at in left:
            left.remove(at)
            at = way[at]
    return found
