"""Controls: networks of the same topology under other rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from neurons.errors import UserError
from neurons.registry import declaration
from rules.registry import Pair, pair
from snn_nas.genotype import Cell, Gene, Genotype, Term, parse


@dataclass(frozen=True, slots=True)
class Rule:
    """A hidden layer's rule, such as `usf`, `stdp(tau=3.0)` or `ottt~usf`; `transport` where its name says none."""

    term: Term
    transport: str | None = None

    @property
    def pair(self) -> Pair:
        """Resolved.

        Raises:
            UserError: an unknown rule or transport.
        """
        return pair(self.term.name, self.transport)

    def __str__(self) -> str:
        return str(self.term) if self.transport is None else f"{self.term}~{self.transport}"


def rule(text: str) -> Rule:
    """Read a rule.

    Raises:
        UserError: the text is none.
    """
    genes = parse(f"rule{{rule@{text}}}").genes
    gene = genes[0]
    if len(genes) != 1 or gene.rule is None or gene != Gene(Term("rule"), gene.rule, gene.transport):
        raise UserError(f"{text!r} is no rule, such as usf, stdp(tau=3.0) or ottt~usf")
    return Rule(gene.rule, gene.transport)


def bp_twin(genotype: Genotype) -> Genotype:
    """The same network with every layer under back-propagation, and the readout's error carried exactly."""
    return single_rule(genotype, rule("bp"))


def single_rule(genotype: Genotype, rule: Rule) -> Genotype:
    """The same network with every layer under one rule: where it transports an error, so does the readout, alike."""
    transport = rule.pair.transport
    return with_rules(genotype, [rule] * len(hidden(genotype)), readout=None if transport == "none" else transport)


def with_rules(genotype: Genotype, rules: Sequence[Rule], *, readout: str | None) -> Genotype:
    """The same network with one rule for each of its `hidden` genes, and the readout's error carried by `readout`."""
    given = iter(rules)

    def change(gene: Gene) -> Gene:
        if gene.rule is None:
            return gene
        if gene.neuron is None:
            return replace(gene, transport=readout)
        rule = next(given)
        return replace(gene, rule=rule.term, transport=rule.transport)

    return _mapped(genotype, change)


def with_threshold(genotype: Genotype, factor: float) -> Genotype:
    """The same network with every neuron's threshold times `factor`: below 1, the neurons are driven harder.

    Raises:
        UserError: a threshold leaves its range.
    """

    def change(gene: Gene) -> Gene:
        if gene.neuron is None or factor == 1.0:
            return gene
        setting = declaration(gene.neuron.name).settings["threshold"]
        threshold = float(gene.neuron.values.get("threshold", setting.default)) * factor
        return replace(gene, neuron=gene.neuron.with_(threshold=setting.check(threshold, f"{gene.neuron}: threshold")))

    return _mapped(genotype, change)


def hidden(genotype: Genotype) -> list[Gene]:
    """The genes whose weights learn by a rule of their own, in order: all but the readout."""
    return [gene for gene in genotype.genes if gene.rule is not None and gene.neuron is not None]


def _mapped(genotype: Genotype, change: Callable[[Gene], Gene]) -> Genotype:
    return Genotype(genotype.space, tuple(Cell(tuple(map(change, cell.genes)), cell.name) for cell in genotype.cells))
