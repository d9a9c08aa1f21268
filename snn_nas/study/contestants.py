"""Who competes in a study: one architecture under the mix, under each single rule, frozen, at random, under bp."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from neurons.errors import UserError
from snn_nas import data, spaces
from snn_nas.controls import Rule, bp_twin, single_rule
from snn_nas.credit import check
from snn_nas.evaluation import check_encoding
from snn_nas.genotype import Genotype, Term
from snn_nas.spaces import canonical
from snn_nas.study.assignment import assignments
from snn_nas.study.claim import Claim

Kind = Literal["mix", "other", "single", "frozen", "random", "bp"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of a study's table. `variants` has one genotype, but for `random`, which has one for each assignment."""

    name: str
    kind: Kind
    variants: tuple[Genotype, ...]

    def runs(self, claim: Claim) -> list[tuple[int, int]]:
        """`(variant, seed)` of every final run."""
        count = max(claim.seeds, len(self.variants))
        return [(k % len(self.variants), claim.first_seed + k) for k in range(count)]


def contestants(claim: Claim) -> list[Contestant]:
    """Everyone, the mix first and bp last. All have the same architecture: its layers' rules alone differ.

    Raises:
        UserError: a genotype is invalid for the data, another mix has another architecture, or the mix is no mix.
    """
    entry = data.describe(claim.settings.data)
    shape, classes = entry.shape, entry.classes

    def spelled(genotype: Genotype) -> Genotype:
        return canonical(genotype, shape, classes)

    mix = spelled(claim.genotype)
    check_encoding(check(spaces.graph(mix, shape, classes)).graph.nodes[0].encoding, entry)
    twin = spelled(bp_twin(mix))
    found = [Contestant("mix", "mix", (mix,))]
    for name, genotype in claim.others.items():
        other = spelled(genotype)
        if spelled(bp_twin(other)) != twin:
            raise UserError(f"others: {name} has another architecture than the mix, so no twin in common with it")
        found.append(Contestant(name, "other", (other,)))
    for rule in claim.singles:
        found.append(Contestant(str(rule), "single", (spelled(single_rule(mix, rule)),)))
    found.append(Contestant("frozen", "frozen", (spelled(single_rule(mix, Rule(Term("frozen")))),)))
    same = [each.name for each in found[1:] if mix in each.variants]
    if same or mix == twin:
        raise UserError(f"the mix is {same[0] if same else 'bp'} on every layer: there is nothing to compare it with")
    taken = [variant for each in found for variant in each.variants]
    drawn = assignments(mix, claim.singles, claim.random, random.Random(claim.first_seed), shape, classes, taken)
    if drawn:
        found.append(Contestant("random", "random", tuple(drawn)))
    found.append(Contestant("bp", "bp", (twin,)))
    names = [each.name for each in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two contestants are called {twice.pop()!r}; give the other mix another name")
    return found
