"""The 15,625 cells of NAS-Bench-201 without rules or neurons, for tables that hold their accuracies.

A cell is a genotype with a gene on each of its six edges, so that strategies meet it as they meet any other. `rows`
holds every cell. `unique` holds one of each class of isomorphic ones (see `snn_nas.spaces.wiring`): 5,425 remain once
`none` and what it cuts off is dropped and `skip` is seen as the wire that it is.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import random
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from neurons.errors import UserError
from snn_nas.genotype import Cell, Gene, Genotype, Term
from snn_nas.search.tabular import Metrics, Table
from snn_nas.spaces.wiring import EDGES, Mark, place

OPS = ("none", "skip", "conv1", "conv3", "avg")
WORDS = {
    "none": "none", "skip_connect": "skip", "nor_conv_1x1": "conv1", "nor_conv_3x3": "conv3", "avg_pool_3x3": "avg",
}  # fmt: skip
"""The operations as NAS-Bench-201 spells them."""

Code = tuple[int, ...]
"""An operation for each edge."""


class Cells201:
    """The space that strategies search; see the module."""

    name: ClassVar[str] = "cells201"

    def __init__(self, *, unique: bool = False) -> None:
        self.unique = unique

    def genotype(self, code: Code) -> Genotype:
        """The genotype of a code, or of the one that stands for its class."""
        return self._genotypes[self._standing[code] if self.unique else code]

    def sample(self, rng: random.Random) -> Genotype:
        """Draw uniformly."""
        return self._genotypes[rng.choice(self.codes)]

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every other cell with one operation changed."""
        seen = {genotype.digest}
        for code in self._changes(self.code(genotype)):
            other = self.genotype(code)
            if other.digest not in seen:
                seen.add(other.digest)
                yield other

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """A random neighbour."""
        changes = self._changes(self.code(genotype))
        while (other := self.genotype(rng.choice(changes))).digest == genotype.digest:
            pass
        return other

    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        """Each edge from either parent."""
        return self.genotype(tuple(map(rng.choice, zip(self.code(mother), self.code(father), strict=True))))

    def size(self) -> int:
        """Number of cells."""
        return len(self.codes)

    def code(self, genotype: Genotype) -> Code:
        """The operations, edge by edge."""
        return tuple(OPS.index(gene.op.name) for gene in genotype.genes)

    @cached_property
    def codes(self) -> tuple[Code, ...]:
        """All codes, in order."""
        return tuple(sorted(set(self._standing.values()))) if self.unique else tuple(self._genotypes)

    def _changes(self, code: Code) -> list[Code]:
        return [(*code[:i], op, *code[i + 1 :]) for i in range(len(EDGES)) for op in range(len(OPS)) if op != code[i]]

    @cached_property
    def _genotypes(self) -> dict[Code, Genotype]:
        return {code: _genotype(code) for code in itertools.product(range(len(OPS)), repeat=len(EDGES))}

    @cached_property
    def _standing(self) -> dict[Code, Code]:
        """For each code, the one that stands for its class."""
        return {code: standing(code) for code in self._genotypes}


def standing(code: Code) -> Code:
    """The code that stands for all cells isomorphic to this one."""
    marks: tuple[Mark, ...] = tuple("none" if op == 0 else "skip" if op == 1 else "op" for op in code)
    try:
        wiring, labels = place(marks, code)
    except KeyError:  # nothing reaches the output
        return (0,) * len(EDGES)
    at = dict(zip(wiring.edges, labels, strict=True))
    return tuple(at.get(edge, int(mark == "skip")) for edge, mark in enumerate(wiring.pattern))


def read(path: Path, space: Cells201, data: str = "cifar10") -> Table:
    """Read a table with the columns `cellstr`, `DATA-val` and `DATA-test`, in percent.

    Raises:
        UserError: a column or a cell is missing.
    """
    validation: dict[str, Metrics] = {}
    test: dict[str, Metrics] = {}
    wanted = {space._genotypes[code].digest for code in space.codes}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        columns = {"cellstr", f"{data}-val", f"{data}-test"}
        if not columns <= set(rows.fieldnames or ()):
            raise UserError(f"{path} lacks one of the columns {', '.join(sorted(columns))}")
        for row in rows:
            words = re.findall(r"(\w+)~\d", row["cellstr"])
            digest = space._genotypes[tuple(OPS.index(WORDS[word]) for word in words)].digest
            if digest in wanted:
                validation[digest] = {"accuracy": float(row[f"{data}-val"]) / 100}
                test[digest] = {"accuracy": float(row[f"{data}-test"]) / 100}
    if missing := wanted - set(validation):
        raise UserError(f"{path} lacks {len(missing)} cells")
    return Table(f"{path.name}, {data}", validation, test)


def _genotype(code: Code) -> Genotype:
    genes = tuple(Gene(Term.of(OPS[op]), edge=edge) for op, edge in zip(code, EDGES, strict=True))
    return Genotype(Term.of("cells201"), (Cell(genes),))
