"""Random assignments: uniform over the valid ones, found by enumeration."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
from scipy.stats import chisquare

from neurons.errors import UserError
from snn_nas import spaces
from snn_nas.controls import hidden, rule, with_rules
from snn_nas.credit import CreditError, check
from snn_nas.genotype import Genotype, parse
from snn_nas.spaces import canonical
from snn_nas.study.assignment import assignment, assignments

SHAPE, CLASSES = (1, 8, 8), 10
THREE = parse("chain(T=2){conv(c=4)@local/lif; conv(c=4)@local/lif; conv(c=4)@local/lif; readout@delta}")
LOCAL = (rule("stdp"), rule("dfa"))
POOL = tuple(map(rule, ("usf", "fa", "stdp")))


def valid(genotype: Genotype) -> bool:
    try:
        check(spaces.graph(genotype, SHAPE, CLASSES))
    except CreditError:
        return False
    return True


def test_every_valid_assignment_is_equally_likely() -> None:
    every = [with_rules(THREE, rules, readout="usf") for rules in product(POOL, repeat=3)]
    possible = {tuple(gene.rule for gene in hidden(g)) for g in every if valid(g)}
    assert 3 < len(possible) < 27  # some are invalid: this is what makes it hard
    rng = random.Random(0)
    drawn = Counter(
        tuple(gene.rule for gene in hidden(assignment(THREE, POOL, rng, SHAPE, CLASSES))) for _ in range(900)
    )
    assert set(drawn) == possible
    assert chisquare(list(drawn.values())).pvalue > 0.001


def test_a_deep_network_gets_valid_assignments_that_mix() -> None:
    layers = "; ".join(["conv(c=4)@local/lif"] * 10)
    deep = parse(f"chain(T=2){{{layers}; readout@delta}}")
    found = assignments(deep, POOL, 3, random.Random(0), SHAPE, CLASSES)
    assert len(set(found)) == 3
    assert all(valid(genotype) for genotype in found)
    assert any(len({gene.rule for gene in hidden(genotype)}) > 1 for genotype in found)


def test_they_are_canonical_different_and_none_of_the_others() -> None:
    rng = random.Random(3)
    found = assignments(THREE, POOL, 3, rng, SHAPE, CLASSES)
    assert len(set(found)) == 3
    assert all(canonical(genotype, SHAPE, CLASSES) == genotype for genotype in found)
    one = parse("chain(T=2){conv(c=4)@local/lif; readout@delta}")
    stdp, dfa = (canonical(with_rules(one, [each], readout=None), SHAPE, CLASSES) for each in LOCAL)
    for _ in range(5):
        assert assignments(one, LOCAL, 1, rng, SHAPE, CLASSES, [stdp]) == [dfa]


def test_more_than_there_are_is_one_clear_line() -> None:
    one = parse("chain(T=2){conv(c=4)@local/lif; readout@delta}")
    with pytest.raises(UserError, match="only 2 other networks"):
        assignments(one, LOCAL, 5, random.Random(0), SHAPE, CLASSES)
    assert assignments(one, POOL, 0, random.Random(0), SHAPE, CLASSES) == []
