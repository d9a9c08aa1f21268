"""Random assignments of rules to the layers of one architecture: the control for having searched at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from neurons.errors import UserError
from snn_nas import spaces
from snn_nas.controls import Rule, hidden, with_rules
from snn_nas.credit import CreditError, check
from snn_nas.genotype import Genotype
from snn_nas.spaces import canonical

ATTEMPTS = 1000


def assignments(
    genotype: Genotype,
    rules: Sequence[Rule],
    count: int,
    rng: random.Random,
    shape: tuple[int, int, int],
    classes: int,
    without: Sequence[Genotype] = (),
) -> list[Genotype]:
    """`count` different networks of this architecture, canonical, none of them `without`, their rules drawn at random.

    Raises:
        UserError: these rules do not make so many different networks.
    """
    found: dict[Genotype, None] = {}
    for _ in range(ATTEMPTS * (count > 0)):
        drawn = canonical(assignment(genotype, rules, rng, shape, classes), shape, classes)
        if drawn not in without:
            found[drawn] = None
        if len(found) == count:
            return list(found)
    if count:
        raise UserError(f"these rules make only {len(found)} other networks of this architecture; ask for no more")
    return []


def assignment(
    genotype: Genotype, rules: Sequence[Rule], rng: random.Random, shape: tuple[int, int, int], classes: int
) -> Genotype:
    """Every layer's rule drawn uniformly and independently, given that the credit is valid; so the readout's transport.

    To draw until a network is valid takes for ever where it is deep: below a layer that hands on no error, none may
    need one. So one gene after another is drawn again and kept where the network stays valid, which leaves the uniform
    distribution as it is (Metropolis et al. 1953). It starts from a single rule everywhere, which is always valid, and
    from there every valid assignment can be reached. The number of steps grows with the square of the depth, as the
    border between layers that hand errors on and layers that do not wanders at random.
    """
    carriers = sorted({rule.pair.transport for rule in rules} - {"none"})
    readout = rng.choice(carriers) if carriers else None
    depth = len(hidden(genotype))
    chosen: list[Rule] = [rng.choice(rules)] * depth
    alike = {rule: next(other for other in rules if _role(other) == _role(rule)) for rule in rules}
    for _ in range(20 * depth * depth):
        place = rng.randrange(depth)
        before, chosen[place] = chosen[place], rng.choice(rules)
        if not _valid(genotype, tuple(alike[rule] for rule in chosen), readout, shape, classes):
            chosen[place] = before
    return with_rules(genotype, chosen, readout=readout)


def _role(rule: Rule) -> tuple[bool, bool]:
    """Whether a rule needs an error from above, and whether it hands one on: all that decides what is valid."""
    return rule.pair.declaration.error == "transported", rule.pair.transport != "none"


@lru_cache(maxsize=65_536)
def _valid(
    genotype: Genotype, rules: tuple[Rule, ...], readout: str | None, shape: tuple[int, int, int], classes: int
) -> bool:
    try:
        check(spaces.graph(with_rules(genotype, rules, readout=readout), shape, classes))
    except CreditError:
        return False
    return True
