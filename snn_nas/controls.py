"""Controls: networks of the same topology under other rules."""

from __future__ import annotations

from dataclasses import replace

from snn_nas.genotype import Cell, Gene, Genotype, Term


def bp_twin(genotype: Genotype) -> Genotype:
    """The same network with every layer under back-propagation, and the readout's error carried exactly."""
    return with_rule(genotype, "bp", readout="exact")


def with_rule(genotype: Genotype, rule: str, *, readout: str | None) -> Genotype:
    """The same network with every hidden layer under one rule, and the readout's error carried by `readout`."""

    def change(gene: Gene) -> Gene:
        if gene.rule is None:
            return gene
        if gene.neuron is None:
            return replace(gene, transport=readout)
        return replace(gene, rule=Term(rule), transport=None)

    return Genotype(genotype.space, tuple(Cell(tuple(map(change, cell.genes)), cell.name) for cell in genotype.cells))
