"""A supernet as a graph: every choice of a space at once, and how probable each is. Free of torch.

Where networks of a space differ, the supernet has a mix: a node that sums what each choice puts out, weighted by its
probability. So what a mix puts out is its expectation over plans whose keys are drawn independently, each from the
softmax of its architecture weights (Liu et al. 2019, arXiv 1806.09055, equation 2, for a product of choices).

Networks of a chain differ in shape as well. Its supernet is a trellis (as in Auto-DeepLab, Liu et al. 2019, arXiv
1901.02985): at each place one mix for each shape that an image can have there, which is the expectation *given* that
shape. How probable the shape is, the mix's mass, goes on to what is built upon it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from neurons.errors import UserError
from neurons.settings import Value
from snn_nas.graph import Graph, Node
from snn_nas.search.preferences import Choices
from snn_nas.spaces.builder import Builder
from snn_nas.spaces.planned import Planned
from snn_nas.spaces.space import Space

Product = tuple[tuple[str, Value], ...]
"""Choices, each of a key: its probability is their product."""


@dataclass(frozen=True)
class Option:
    """One input of a mix: a node, the products whose sum is its probability, and the mix whose mass goes with it."""

    node: str
    products: tuple[Product, ...]
    after: str = ""


@dataclass(frozen=True)
class Mix:
    """A weighted sum; `given` says that it is divided by its mass, the sum of the weights."""

    options: tuple[Option, ...]
    given: bool = False


@dataclass(frozen=True)
class Blueprint:
    """A supernet's graph, in which a mix is an `add` node, and what its mixes weigh."""

    graph: Graph
    mixes: Mapping[str, Mix]
    choices: Choices


@dataclass
class Draft:
    """A graph on its way, with its mixes."""

    built: Builder
    choices: Choices
    mixes: dict[str, Mix] = field(default_factory=dict)

    def mix(self, name: str, options: Sequence[Option], *, given: bool = False) -> str:
        """Append a mix of nodes of one shape; the name of what comes out, which is its only option if that is sure."""
        merged: dict[tuple[str, str], tuple[Product, ...]] = {}
        for option in options:
            at = option.node, option.after
            merged[at] = merged.get(at, ()) + option.products
        kept = tuple(Option(node, products, after) for (node, after), products in merged.items())
        names = tuple(dict.fromkeys(option.node for option in kept))
        self.mixes[name] = Mix(kept, given)
        return self.built.add(Node(name, "add", names, self.built.shapes[names[0]]))

    def done(self, T: int, classes: int) -> Blueprint:
        """The blueprint; the last node is the network's output."""
        return Blueprint(Graph(tuple(self.built.nodes), T, classes), self.mixes, self.choices)


def place(node: str) -> str:
    """The name that a supernet's node has in a network of its own: several candidates stand in one place."""
    return re.sub(r"\|\d+", "", node)


def blueprint(space: Space, limit: int) -> Blueprint:
    """The supernet of a space, of at most `limit` layers.

    Raises:
        UserError: it has more, or the space is of a kind, or has choices, that no one supernet can hold.
    """
    from snn_nas.supernet import chain, darts, nb201

    kinds = {"chain": chain.draft, "nb201": nb201.draft, "darts": darts.draft}
    if space.name not in kinds or not isinstance(space, Planned):
        raise UserError(f"strategy darts has no supernet for space {space.name!r}; search it with eg_nas")
    made: Blueprint = kinds[space.name](space)  # type: ignore[operator]
    if (layers := len(made.graph.layers)) > limit:
        raise UserError(
            f"strategy darts would mix {layers:,} layers at once, more than its `layers: {limit}`: narrow the space "
            f"(rules, widths, kernels, depth), raise `layers` if memory and time allow, or search with eg_nas, which "
            f"trains one network at a time"
        )
    return made
