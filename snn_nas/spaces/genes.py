"""What every space does with genes: read, check, spell and expand them, whatever the topology they sit in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from neurons import registry as neurons
from neurons.errors import UserError
from neurons.settings import Setting, Value, nearest, resolve
from rules.registry import Pair, pair, rules
from snn_nas.genotype import Gene, Genotype, Term, parse
from snn_nas.graph import Node, Op, Synapse, pooled, size
from snn_nas.spaces.space import Parameters, Space

HEADER = {
    "T": Setting(4, 1, 1024, help="time steps"),
    "encoding": Setting("direct", help="how an image becomes input"),
}
READOUT = {"grid": Setting(4, 1, 64, help="spikes are averaged to at most this many positions a side")}


@dataclass(frozen=True)
class Choices:
    """The rules that a space offers to its hidden layers, by what they need from above."""

    space: str
    rules: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.rules:
            if pair(term(name).name).declaration.readout:
                raise UserError(f"space {self.space!r}: rule {name!r} is the readout's, no hidden layer's")

    @cached_property
    def settled(self) -> tuple[str, ...]:
        """The rules that need no error from above."""
        return tuple(n for n in self.rules if pair(term(n).name).declaration.error != "transported")

    @cached_property
    def carrying(self) -> tuple[str, ...]:
        """The rules that take an error from above and hand it on."""
        return tuple(n for n in self.rules if n not in self.settled)

    @cached_property
    def silent(self) -> tuple[Term, ...]:
        """How `carrying` are spelled where nothing below needs the error: all transports are one."""
        return tuple(sorted({untransported(name) for name in self.carrying}, key=str))

    def fallback(self) -> Term:
        """The rule of a layer that no error can reach.

        Raises:
            UserError: every rule of the space needs one.
        """
        if not self.settled:
            raise UserError(f"space {self.space!r} has no rule that learns without a transported error to repair with")
        return term(self.settled[0])

    def choice(self, gene: Gene) -> str:
        """Which of the choices a canonical gene's rule came from; its own text if none."""
        rule = str(gene.rule)
        if rule in self.rules or gene.rule is None:
            return rule
        same = [name for name in self.carrying if untransported(name) == gene.rule and gene.transport is None]
        return same[0] if same else f"{rule}~{gene.transport}" if gene.transport else rule


@lru_cache(maxsize=1024)
def term(text: str) -> Term:
    """Read a rule or a neuron with settings, such as `lif(tau=3.0)`, from a configuration."""
    parsed = parse(f"{text}{{x}}")
    if len(parsed.cells) != 1 or parsed.cells[0].name:
        raise UserError(f"{text!r} is no single name with settings, such as lif(tau=3.0)")
    return parsed.space


def untransported(rule: str) -> Term:
    """How a rule is spelled when it sends no error on."""
    spelled = term(rule)
    return Term(pair(spelled.name).declaration.name, spelled.settings)


def pair_of(gene: Gene) -> Pair:
    """The gene's rule, resolved."""
    assert gene.rule is not None
    return pair(gene.rule.name, gene.transport)


def check_lists(space: Space, *keys: str) -> None:
    """Make each of these fields of a frozen space a tuple without duplicates.

    Raises:
        UserError: one is empty, or no list.
    """
    for key in keys:
        value = getattr(space, key)
        if not isinstance(value, tuple) or not value:
            raise UserError(f"space {space.name!r}: {key} is a list of at least one choice, not {value!r}")
        if key in ("rules", "neurons"):
            value = [_choice(key, str(choice)) for choice in value]
        object.__setattr__(space, key, tuple(dict.fromkeys(value)))


def _choice(key: str, text: str) -> str:
    """The canonical spelling of a rule or a neuron: `lif(tau=2)` is `lif`, whose tau is 2.0 by default."""
    spelled = term(text)
    known = pair(spelled.name).declaration if key == "rules" else neurons.declaration(spelled.name)
    return str(sparse(spelled, known.settings))


def others(genotype: Genotype, found: Iterable[Genotype]) -> Iterator[Genotype]:
    """What was found, each once and without the genotype itself."""
    seen = {genotype}
    for other in found:
        if other not in seen:
            seen.add(other)
            yield other


def listed(values: Sequence[Value]) -> str:
    """Choices, for a message."""
    return ", ".join(map(str, values))


def sparse(spelled: Term, declared: Mapping[str, Setting]) -> Term:
    """Check a term's settings and leave out those at their default."""
    values = resolve(spelled.values, declared, spelled.name)
    return Term.of(spelled.name, **{key: value for key, value in values.items() if value != declared[key].default})


SIZES = ("c", "k", "grid")
"""Settings that are always written, whatever their default."""


def respell(op: Term, declared: Mapping[str, Setting]) -> Term:
    """Sizes, and what is not at its default."""
    values = resolve(op.values, declared, op.name)
    return Term.of(op.name, **{k: v for k, v in values.items() if k in SIZES or v != declared[k].default})


def header(space: Term, declared: Mapping[str, Setting]) -> dict[str, Value]:
    """The settings of the whole network, checked, defaults filled in."""
    values = resolve(space.values, declared, space.name)
    neurons.encoding(str(values["encoding"]))
    return values


Declared = Mapping[str, Mapping[str, Setting]]
"""The settings of every operation."""


def check(gene: Gene, where: str, ops: Declared, *, readout: bool = False) -> dict[str, Value]:
    """The settings of a weight-bearing gene, checked, defaults filled in.

    Raises:
        UserError: what is unknown, missing or out of range; the message begins with `where`.
    """
    if gene.op.name not in ops:
        raise UserError(f"{where}: unknown operation {gene.op.name!r}{nearest(gene.op.name, ops)}")
    settings = resolve(gene.op.values, ops[gene.op.name], f"{where}: {gene.op.name}")
    if int(settings.get("k", 1)) % 2 == 0:
        raise UserError(f"{where}: a kernel is odd, not {settings['k']}")
    if gene.rule is None:
        known = f"one of {', '.join(rules())} or a transport's name"
        raise UserError(f"{where} has no rule; write {gene.op}@RULE, with {known}")
    rule = pair(gene.rule.name, gene.transport)
    resolve(gene.rule.values, rule.declaration.settings, f"{where}: rule {gene.rule.name}")
    if rule.declaration.readout != readout:
        only = "only" if rule.declaration.readout else "not"
        raise UserError(f"{where}: rule {gene.rule.name!r} is {only} for the readout")
    if readout:
        if gene.neuron is not None:
            raise UserError(f"{where} has no neurons: its current is the network's output")
    elif gene.neuron is None:
        raise UserError(f"{where} has no neurons; write {gene.op}@{gene.rule}/lif")
    else:
        resolve(gene.neuron.values, neurons.declaration(gene.neuron.name).settings, f"{where}: {gene.neuron.name}")
    return settings


def spelled(gene: Gene, op: Term, nodes: Sequence[Node]) -> Gene:
    """The canonical spelling of a weight-bearing gene, from the nodes that it became after the credit check.

    Short rule names, defaults left out, no transport where nothing below any of its nodes needs one.
    """
    assert gene.rule is not None
    used = {node.transport for node in nodes} - {"none"}
    declaration, transport = nodes[0].pair.declaration, used.pop() if used else "none"
    short = Pair(declaration, transport).name.split("~")
    return replace(
        gene,
        op=op,
        rule=Term(short[0], sparse(gene.rule, declaration.settings).settings),
        transport=short[1] if len(short) > 1 else None,
        neuron=None if gene.neuron is None else sparse(gene.neuron, neurons.declaration(gene.neuron.name).settings),
    )


def checked(parameters: Mapping[str, Any], legal: Mapping[str, Mapping[str, Any]], wanted: Sequence[str]) -> Parameters:
    """The wanted NNI parameters, each one of its choices.

    Raises:
        UserError: a parameter is missing, unknown or none of its choices.
    """
    for key in parameters:
        if key not in legal:
            raise UserError(f"unknown parameter {key!r}{nearest(key, legal)}")
    for key in wanted:
        if key not in parameters:
            raise UserError(f"parameter {key!r} is missing")
        if parameters[key] not in legal[key]["_value"]:
            raise UserError(f"parameter {key!r} is one of {listed(legal[key]['_value'])}, not {parameters[key]!r}")
    return {key: parameters[key] for key in wanted}


class Builder:
    """Collects a graph's nodes; every layer is made from a gene, whose index it bears."""

    def __init__(self, shape: tuple[int, int, int], encoding: str) -> None:
        channels = shape[0] * neurons.encoding(encoding).channel_factor
        self.nodes = [Node("input", "input", (), (channels, *shape[1:]), encoding=encoding)]
        self.shapes = {"input": self.nodes[0].shape}

    def add(self, node: Node) -> str:
        """Append a node; its name."""
        self.nodes.append(node)
        self.shapes[node.name] = node.shape
        return node.name

    def layer(self, name: str, gene: Gene, index: int, synapse: Synapse, source: str, *shortcuts: str) -> str:
        """Append a synapse with its rule and neurons."""
        rule = pair_of(gene)
        assert gene.rule is not None
        use = Term(rule.declaration.name, gene.rule.settings)
        try:
            shape = synapse.out_shape(self.shapes[source])
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        inputs = (source, *shortcuts)
        return self.add(Node(name, "layer", inputs, shape, synapse, use, rule.transport, gene.neuron, gene=index))

    def pool(self, name: str, op: Op, source: str, index: int, kernel: int, stride: int = 0, padding: int = 0) -> str:
        """Append a pool; its stride is its kernel unless given."""
        shape = pooled(self.shapes[source], kernel, stride, padding)
        return self.add(Node(name, op, (source,), shape, kernel=kernel, stride=stride, padding=padding, gene=index))

    def flatten(self, name: str, source: str, index: int) -> str:
        """Make an image a vector; what is one already stays."""
        shape = self.shapes[source]
        return source if len(shape) == 1 else self.add(Node(name, "flatten", (source,), (size(shape),), gene=index))

    def total(self, name: str, sources: Sequence[str]) -> str:
        """The sum of these nodes; of one, that node itself."""
        if len(sources) == 1:
            return sources[0]
        return self.add(Node(name, "add", tuple(sources), self.shapes[sources[0]]))

    def readout(self, gene: Gene, index: int, source: str, grid: int, classes: int) -> None:
        """Average to a grid, flatten, and append the linear layer whose current is the output."""
        shape = self.shapes[source]
        if len(shape) == 3:
            kernel = min(-(-max(shape[1:]) // grid), *shape[1:])
            if kernel > 1:
                source = self.pool("readout_pool", "avgpool", source, index, kernel)
            source = self.flatten("readout_flatten", source, index)
        self.layer("readout", gene, index, Synapse("linear", self.shapes[source][0], classes), source)
