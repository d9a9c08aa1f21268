"""Spaces whose genotypes are plans: flat choices by key, which is how NNI knows them too.

A plan holds a value for every choice, those without effect included; a genotype is its canonical text. `_genotype`
builds, repairs and respells a plan, and `_plan` undoes that: variation is a change of the plan.
"""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from neurons.errors import UserError
from neurons.settings import Value
from rules.registry import pair
from snn_nas.genotype import Gene, Genotype, Term
from snn_nas.spaces import choices
from snn_nas.spaces.choices import Choices
from snn_nas.spaces.genes import checked, listed, plain, term
from snn_nas.spaces.space import Parameters, Space


class Planned(Space):
    """What such spaces share; their dataclasses declare these fields, and `_legal`, `_plan` and `_genotype`."""

    rules: tuple[str, ...]
    neurons: tuple[str, ...]
    readouts: tuple[str, ...]
    T: tuple[int, ...]
    encodings: tuple[str, ...]
    grid: int

    @property
    @abstractmethod
    def _legal(self) -> Mapping[str, tuple[Value, ...]]:
        """Every key of a plan, and its choices."""

    @abstractmethod
    def _plan(self, genotype: Genotype) -> Parameters:
        """Undo the canonical spelling: every value of the plan is one of the choices.

        Raises:
            UserError: the genotype holds something that is none of this space's choices.
        """

    @abstractmethod
    def _genotype(self, plan: Parameters) -> Genotype:
        """Build, repair and respell a plan."""

    def _active(self, plan: Parameters) -> Collection[str]:
        """The keys whose choices have an effect beside the others."""
        return plan.keys()

    def _changed(self, plan: Parameters, key: str, value: Value) -> Parameters:
        """The plan with one choice changed."""
        return {**plan, key: value}

    # -- the configuration ---------------------------------------------------------------------------------------------

    def _check(self, smallest_map: int, *lists: str) -> None:
        """Check these fields, and those that all such spaces have, and make them canonical.

        Raises:
            UserError: one is no list or empty, or holds what nothing implements or what would be one network twice.
        """
        for key in ("rules", "neurons", "readouts", "T", "encodings", *lists):
            value = getattr(self, key)
            if not isinstance(value, tuple) or not value:
                raise UserError(f"space {self.name!r}: {key} is a list of at least one choice, not {value!r}")
            if key == "rules":
                value = [str(plain("rule", str(choice))) for choice in value]
            if key == "neurons":
                value = [str(plain("neuron", str(choice))) for choice in value]
            object.__setattr__(self, key, tuple(dict.fromkeys(value)))
        _ = self._offered
        for transport in self.readouts:
            pair("delta", transport)
        if smallest_map < (wanted := choices.smallest_map(self.rules)):
            raise UserError(
                f"space {self.name!r}: its smallest maps have a side of {smallest_map}, where heads of several pools "
                f"are one; list one of them, or keep maps of at least {wanted}"
            )

    def _only(self, field: str, known: Sequence[str]) -> None:
        """Raise UserError if a field has another choice than these."""
        for choice in getattr(self, field):
            if choice not in known:
                raise UserError(f"space {self.name!r}: {field} are {listed(known)}, not {choice!r}")

    def _try(self, *keys: str) -> None:
        """Build one network of each choice, so that a slip in the configuration is found before the search."""
        first = {key: values[0] for key, values in self._legal.items()}
        for key in keys:
            for value in self._legal[key]:
                self._genotype({**first, key: value})

    @cached_property
    def _offered(self) -> Choices:
        return Choices(self.name, self.rules, self.neurons)

    def _admit(self, plan: Parameters) -> Parameters:
        """The plan, if every value is one of the choices; else UserError."""
        for key, value in plan.items():
            if value not in self._legal.get(key, ()):
                raise UserError(f"{key}={value} is none of this space's choices, {listed(self._legal.get(key, ()))}")
        return plan

    # -- genes ---------------------------------------------------------------------------------------------------------

    def _layer(self, op: Term, plan: Parameters, where: str) -> Gene:
        """A weight-bearing gene with the rule and the neurons that the plan has there."""
        return Gene(op, term(str(plan[f"{where}rule"])), None, term(str(plan[f"{where}neuron"])))

    def _readout(self, transport: str | None) -> Gene:
        return Gene(Term.of("readout", grid=self.grid), Term("delta"), transport)

    # -- variation -----------------------------------------------------------------------------------------------------

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Space.neighbours`: one choice changed, and what that forces."""
        seen = {genotype}
        for plan in self._changes(self._plan(genotype)):
            if (other := self._genotype(plan)) not in seen:
                seen.add(other)
                yield other

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Space.mutate`."""
        changes = list(self._changes(self._plan(genotype)))
        rng.shuffle(changes)
        return next((child for child in map(self._genotype, changes) if child != genotype), genotype)

    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        """See `Space.crossover`: each place of the network, with all that is there, from either parent."""
        one, other = self._plan(mother), self._plan(father)
        places = {key: key.rpartition(".")[0] or key for key in one}
        side = {place: rng.choice((one, other)) for place in dict.fromkeys(places.values())}
        return self._genotype({key: side[place][key] for key, place in places.items()})

    def _changes(self, plan: Parameters) -> Iterator[Parameters]:
        active = self._active(plan)
        for key in plan:
            if key in active:
                yield from (self._changed(plan, key, value) for value in self._legal[key] if value != plan[key])

    def active(self, parameters: Parameters) -> Collection[str]:
        """See `Space.active`."""
        with_effect = self._active(parameters)
        return [key for key in parameters if key in with_effect or key == "depth"]  # a depth changes with its layers

    # -- NNI -----------------------------------------------------------------------------------------------------------

    def encode(self, genotype: Genotype) -> Parameters:
        """See `Space.encode`."""
        return self._plan(genotype)

    def decode(self, parameters: Mapping[str, Any]) -> Genotype:
        """See `Space.decode`."""
        return self._genotype(checked(parameters, self._legal, self._wanted(parameters)))

    def _wanted(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        """The keys that these parameters must have."""
        del parameters
        return list(self._legal)

    def search_space(self) -> dict[str, dict[str, Any]]:
        """See `Space.search_space`; a choice that has no effect beside the others is there all the same."""
        return {key: {"_type": "choice", "_value": list(values)} for key, values in self._legal.items()}

    def contains(self, genotype: Genotype) -> bool:
        """See `Space.contains`."""
        try:
            return self._genotype(self._plan(genotype)) == genotype
        except UserError:
            return False
