"""What the supernets of all spaces are made of: a layer under every rule, a readout with every transport."""

from __future__ import annotations

from collections.abc import Iterator

from neurons.errors import UserError
from neurons.settings import Value
from snn_nas.genotype import Gene, Term
from snn_nas.graph import Synapse
from snn_nas.search.preferences import Choices
from snn_nas.spaces.genes import term, untransported
from snn_nas.spaces.planned import Planned
from snn_nas.supernet.blueprint import Draft, Option, Product


def only(space: Planned, key: str, setting: str) -> Value:
    """The one choice of a key on which every shape or every step of a supernet depends.

    Raises:
        UserError: there are several.
    """
    values: tuple[Value, ...] = tuple(space.search_space()[key]["_value"])
    if len(values) > 1:
        raise UserError(
            f"strategy darts trains one supernet, of one {key}: write `{setting}: [{values[-1]}]` in the space, or "
            f"search with eg_nas, which takes several"
        )
    return values[0]


def learning(choices: Choices, where: str) -> Iterator[tuple[Term, Term, Product]]:
    """Every rule and neuron of a place, and the choices that they are."""
    for rule in choices[f"{where}rule"]:
        for neuron in choices[f"{where}neuron"]:
            yield term(str(rule)), term(str(neuron)), ((f"{where}rule", rule), (f"{where}neuron", neuron))


def layers(made: Draft, name: str, where: str, synapse: Synapse, source: str) -> Iterator[Option]:
    """A convolution under every rule and with every kind of neurons."""
    found: dict[tuple[Term, Term], str] = {}
    for offered, neuron, chosen in learning(made.choices, where):
        # On the input nothing below needs an error, so all transports are one.
        rule = untransported(str(offered)) if source == "input" else offered
        if (rule, neuron) not in found:
            gene = Gene(Term("conv"), rule, None, neuron)
            found[rule, neuron] = made.built.layer(f"{name}|{len(found)}", gene, -1, synapse, source)
        yield Option(found[rule, neuron], (chosen,))


def readouts(made: Draft, source: str, grid: int, classes: int) -> Iterator[Option]:
    """A readout for each of the transports that the space offers it."""
    for number, transport in enumerate(made.choices["readout"]):
        gene = Gene(Term.of("readout", grid=grid), Term("delta"), str(transport))
        node = made.built.readout(gene, -1, source, grid, classes, f"readout|{number}")
        yield Option(node, ((("readout", transport),),))
