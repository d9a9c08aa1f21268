"""What every space can do. Spaces are free of torch and take their randomness as an argument."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

from neurons import registry as neurons
from neurons.errors import UserError
from neurons.settings import Value
from snn_nas.credit import check
from snn_nas.genotype import Genotype
from snn_nas.graph import Graph
from snn_nas.spaces.genes import term

Parameters = dict[str, Value]
"""What NNI passes to a trial: flat, of JSON's scalars."""

Exports = Mapping[str, Mapping[str, tuple[str, ...]]]
"""For a space's field and each of its choices, the formats that can express it exactly."""


class Space(ABC):
    """A set of genotypes for images of `shape` (channels, height, width) in `classes` classes.

    Every genotype that a space gives out is valid and canonical: two spellings of one network are one genotype.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    exports: ClassVar[Exports] = {}
    """Of operations; neurons declare their own."""

    shape: tuple[int, int, int]
    classes: int

    @classmethod
    @abstractmethod
    def graph(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Graph:
        """Expand a genotype of this kind, whether or not this space's choices hold it.

        Raises:
            UserError: an unknown operation, rule, neuron or setting, or an image too small for it.
        """

    @classmethod
    @abstractmethod
    def spell(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Genotype:
        """The one spelling of a network of this kind, whether or not this space's choices hold it.

        Raises:
            UserError: the genotype is invalid; the message names the layer.
        """

    @classmethod
    def auxiliary(cls, genotype: Genotype) -> str | None:
        """The node on whose output an auxiliary head may stand while the network learns; None where there is none."""
        del genotype
        return None

    def canonical(self, genotype: Genotype) -> Genotype:
        """The one spelling of this network (see `spell`)."""
        return self.spell(genotype, self.shape, self.classes)

    @abstractmethod
    def repair(self, genotype: Genotype) -> Genotype:
        """The nearest valid, canonical genotype."""

    @abstractmethod
    def sample(self, rng: random.Random) -> Genotype:
        """Draw uniformly over the space's genotypes."""

    @abstractmethod
    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every other genotype at one change."""

    @abstractmethod
    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """A random other genotype at one change."""

    @abstractmethod
    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        """A child that has genes of both."""

    @abstractmethod
    def encode(self, genotype: Genotype) -> Parameters:
        """The genotype as NNI parameters; `decode(encode(g)) == g`."""

    @abstractmethod
    def decode(self, parameters: Mapping[str, Any]) -> Genotype:
        """The genotype of NNI parameters, repaired where a foreign tuner drew an invalid one.

        Raises:
            UserError: a parameter is missing, unknown or none of its choices.
        """

    @abstractmethod
    def search_space(self) -> dict[str, dict[str, Any]]:
        """The search space in NNI's form, `{"T": {"_type": "choice", "_value": [2, 4]}, ...}`."""

    def active(self, parameters: Parameters) -> Collection[str]:
        """Those of a genotype's parameters that have an effect beside the others."""
        return parameters.keys()

    @abstractmethod
    def size(self) -> int:
        """The exact number of genotypes."""

    @abstractmethod
    def contains(self, genotype: Genotype) -> bool:
        """Whether the genotype is one of this space's."""

    def narrowed(self, target: str) -> Self:
        """This space without the choices that cannot be exported exactly to `target`, such as `nir`.

        Neurons get the settings that the format's readers agree on: for `nir` a soft reset becomes a hard one.

        Raises:
            UserError: no such format, or nothing is left of some field.
        """
        if target not in neurons.FORMATS:
            raise UserError(f"exportable: networks are exported to {' and '.join(neurons.FORMATS)}, not {target!r}")
        tables = {
            field: {choice: table.get(choice, ()) for choice in getattr(self, field)}
            for field, table in self.exports.items()
        }
        named = {}
        for choice in getattr(self, "neurons", ()):
            neuron = term(choice)
            declared = neurons.declaration(neuron.name)
            named[str(neuron.with_(**declared.readable.get(target, {})))] = declared.exportable
        kept: dict[str, tuple[str, ...]] = {}
        for field, table in {**tables, "neurons": named}.items():
            kept[field] = tuple(choice for choice, targets in table.items() if target in targets)
            if not kept[field]:
                raise UserError(f"space {self.name!r}: none of its {field} can be exported to {target!r}")
        return replace(self, **kept)  # type: ignore[type-var]

    def expand(self, genotype: Genotype) -> Graph:
        """The graph of a genotype, credit checked, unneeded transports removed."""
        return check(self.graph(genotype, self.shape, self.classes)).graph
