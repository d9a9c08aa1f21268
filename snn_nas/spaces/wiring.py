"""The wiring of a NAS-Bench-201 cell: which of its edges compute, what feeds each, and when two cells are one.

A cell has nodes 0 to 3, where 0 is its input, 3 its output, and every other node sums what arrives. Each edge carries
nothing, a skip or an operation. Seen from the operations, a skip is only a wire: so a cell *is* the graph whose
vertices are the operations that lie between input and output, each fed by the sum of some others, and skips are how it
is written down. Two cells are one network if these graphs are isomorphic. Of all ways to write one down, the one with
the fewest skips stands for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
Mark = Literal["none", "skip", "op"]
Pattern = tuple[Mark, ...]
"""What each of `EDGES` carries."""
INPUT = -1
T = TypeVar("T")


@dataclass(frozen=True)
class Wiring:
    """One class of isomorphic cells, without its operations.

    Attributes:
        pattern: how it is written down.
        edges: where its operations sit, as indices into `EDGES`, in topological order.
        feeds: for each operation, those that feed it, as indices into `edges` or `INPUT`; twice where two skips lead.
        out: what feeds the output.
        symmetries: permutations of the operations that leave the wiring as it is, the identity among them.
    """

    pattern: Pattern
    edges: tuple[int, ...]
    feeds: tuple[tuple[int, ...], ...]
    out: tuple[int, ...]
    symmetries: tuple[tuple[int, ...], ...]

    @property
    def idle(self) -> bool:
        """Whether the cell puts out what it gets, so that one copy is as many."""
        return self.out == (INPUT,)

    def spell(self, labels: Sequence[T]) -> tuple[T, ...]:
        """The one order of these operations' labels that stands for all symmetric ones; labels sort by their text."""
        return min((tuple(labels[i] for i in way) for way in self.symmetries), key=lambda way: [str(x) for x in way])


def traced(pattern: Pattern) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """The operations between input and output, what feeds each, and what feeds the output (see `Wiring`)."""
    arriving: list[tuple[int, ...]] = [(INPUT,), (), (), ()]
    for node in (1, 2, 3):
        for edge, (source, target) in enumerate(EDGES):
            if target == node and arriving[source] and pattern[edge] != "none":
                arriving[node] += arriving[source] if pattern[edge] == "skip" else (edge,)
    live: set[int] = set()
    left = list(arriving[3])
    while left:
        if (edge := left.pop()) not in live and edge != INPUT:
            live.add(edge)
            left += arriving[EDGES[edge][0]]
    edges = tuple(sorted(live))
    place = {edge: index for index, edge in enumerate(edges)} | {INPUT: INPUT}
    feeds = tuple(tuple(sorted(place[e] for e in arriving[EDGES[edge][0]])) for edge in edges)
    return edges, feeds, tuple(sorted(place[e] for e in arriving[3]))


@cache
def classes() -> tuple[Wiring, ...]:
    """Every wiring in which the output gets something."""
    return tuple(dict.fromkeys(wiring for wiring, _ in _table().values()))


def place(pattern: Pattern, labels: Sequence[T]) -> tuple[Wiring, tuple[T, ...]]:
    """The class of a cell, and its labels, given for every edge, in the order of that class's operations.

    Raises:
        KeyError: nothing reaches the output.
    """
    wiring, order = _table()[pattern]
    return wiring, wiring.spell([labels[edge] for edge in order])


@cache
def _table() -> dict[Pattern, tuple[Wiring, tuple[int, ...]]]:
    """For each pattern its class, and its edges in the order of the class's operations."""
    marks: tuple[Mark, ...] = ("none", "skip", "op")
    found: dict[object, tuple[Wiring, tuple[int, ...]]] = {}
    table = {}
    patterns = itertools.product(marks, repeat=len(EDGES))
    for pattern in sorted(patterns, key=lambda p: (p.count("skip"), p.count("op"), p)):
        edges, feeds, out = traced(pattern)
        if not out:
            continue
        form, ways = _normal(feeds, out)
        if form not in found:
            identity = ways[0]
            inverse = tuple(identity.index(i) for i in range(len(identity)))
            symmetries = tuple(tuple(way[i] for i in inverse) for way in ways)
            found[form] = Wiring(pattern, edges, feeds, out, symmetries), identity
        wiring, first = found[form]
        # Operation first[k] of the class is operation ways[0][k] here.
        order = [0] * len(edges)
        for ours, theirs in zip(first, ways[0], strict=True):
            order[ours] = edges[theirs]
        table[pattern] = wiring, tuple(order)
    return table


def _normal(feeds: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> tuple[object, list[tuple[int, ...]]]:
    """The smallest form over all orders of the operations, and the orders that give it."""
    best: object = None
    ways: list[tuple[int, ...]] = []
    for way in itertools.permutations(range(len(feeds))):
        at = {old: new for new, old in enumerate(way)} | {INPUT: INPUT}
        form = (
            tuple(tuple(sorted(at[i] for i in feeds[old])) for old in way),
            tuple(sorted(at[i] for i in out)),
        )
        if best is None or form < best:  # type: ignore[operator]
            best, ways = form, []
        if form == best:
            ways.append(way)
    return best, ways
