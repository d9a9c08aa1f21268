"""The rules and neurons that a space offers to its hidden layers: their product, without what would be one network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from neurons.errors import UserError
from rules.registry import pair
from snn_nas.genotype import Gene, Term
from snn_nas.spaces import effect
from snn_nas.spaces.genes import pair_of, term, untransported

Need = Literal["settled", "sending", "silent"]
"""What a layer's rule asks of the layers above: nothing; an error, which it hands on; an error, and nothing below needs
what it would hand on, so that all transports are one."""
NEEDS: tuple[Need, ...] = ("settled", "sending", "silent")


@dataclass(frozen=True)
class Choices:
    """Rules and neurons by their names in the configuration, each in its canonical spelling."""

    space: str
    rules: tuple[str, ...]
    neurons: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.rules:
            rule = pair(term(name).name)
            if rule.declaration.readout:
                raise UserError(f"space {self.space!r}: rule {name!r} is the readout's, no hidden layer's")
            if rule.declaration.error == "transported" and rule.transport == "none":
                raise UserError(f"space {self.space!r}: rule {name!r} names no transport; write one, such as frsf")

    @cached_property
    def settled(self) -> tuple[str, ...]:
        """The rules that need no error from above."""
        return tuple(n for n in self.rules if pair(term(n).name).declaration.error != "transported")

    @cached_property
    def carrying(self) -> tuple[str, ...]:
        """The rules that take an error from above and hand it on."""
        return tuple(n for n in self.rules if n not in self.settled)

    def fallback(self) -> str:
        """The rule of a layer that no error can reach.

        Raises:
            UserError: every rule of the space needs one.
        """
        if not self.settled:
            raise UserError(f"space {self.space!r} has no rule that learns without a transported error to repair with")
        return self.settled[0]

    def layers(self, need: Need, T: int) -> tuple[tuple[Term, Term], ...]:
        """Every pair of rule and neurons of this kind that makes a network of its own in T steps."""
        return _layers(self, need, T == 1)

    def rule(self, gene: Gene) -> str:
        """Which of the choices a canonical gene's rule came from; its own text if none."""
        rule = str(gene.rule)
        if rule in self.rules or gene.rule is None:
            return rule
        same = [name for name in self.carrying if gene.transport is None and untransported(name) == gene.rule]
        if not same:  # the largest of the heads may have been cut down to the map
            same = sorted((name for name in self.rules if _headless(name) == _headless(rule)), key=_pool)[-1:]
        return same[0] if same else f"{rule}~{gene.transport}" if gene.transport else rule

    def neuron(self, gene: Gene, T: int) -> str:
        """Which of the choices a canonical gene's neurons came from; their own text if none."""
        found = pair_of(gene)
        passes = found.declaration.surrogate or found.transport != "none"
        same = (n for n in self.neurons if effect.neuron(term(n), passes=passes, T=T) == gene.neuron)
        return next(same, str(gene.neuron))


@lru_cache(maxsize=256)
def _layers(choices: Choices, need: Need, single: bool) -> tuple[tuple[Term, Term], ...]:
    given: dict[Need, tuple[Term, ...]] = {
        "settled": tuple(map(term, choices.settled)),
        "sending": tuple(map(term, choices.carrying)),
        "silent": tuple(sorted({untransported(name) for name in choices.carrying}, key=str)),
    }
    found: dict[tuple[Term, Term], None] = {}
    for rule in given[need]:
        passes = pair(rule.name).declaration.surrogate or need == "sending"
        for neuron in choices.neurons:
            found[rule, effect.neuron(term(neuron), passes=passes, T=1 if single else 2)] = None
    return tuple(found)


def smallest_map(rules: tuple[str, ...]) -> int:
    """On smaller maps than this, two of these rules are one: local heads that average to at most `pool` positions."""
    pools: dict[Term, list[int]] = {}
    for rule in rules:
        pools.setdefault(_headless(rule), []).append(_pool(rule))
    return max((sorted(same)[-2] + 1 for same in pools.values() if len(same) > 1), default=1)


def _headless(rule: str) -> Term:
    """The rule, whatever the side to which its head averages."""
    spelled = term(rule)
    return Term.of(spelled.name, **{key: value for key, value in spelled.settings if key != "pool"})


def _pool(rule: str) -> int:
    """The side to which the head of a rule averages; 0 where it has none."""
    declared = pair(term(rule).name).declaration.settings.get("pool")
    return 0 if declared is None else int(term(rule).values.get("pool", declared.default))
