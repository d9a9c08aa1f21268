"""The chain: spiking convolutions one after the other, each with its own rule, then a linear readout.

    chain(T=4) { conv(c=32,k=3,down=avg)@gradient/lif; sepconv(c=32,k=5,skip=1)@frsf/lif; readout(grid=4)@delta~usf }

A gene `conv` is convolution, norm, neurons and, where `down` says so, a halving of the image. `sepconv` is a depthwise
and a pointwise such layer under one rule. With `skip=1` the gene's input spikes are added to its last current, so that
what it puts out stays binary. `linear` is a dense hidden layer. A layer's name in every message is `layerN`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, ClassVar

from neurons import registry as neurons
from neurons.errors import UserError
from neurons.settings import Setting, Value, nearest, resolve
from rules.registry import Pair, pair, rules
from snn_nas.credit import check
from snn_nas.genotype import Cell, Gene, Genotype, Term, parse
from snn_nas.graph import Graph, Node, Synapse, pooled, size
from snn_nas.spaces.space import Parameters, Space

DOWNS = ("none", "avg", "max", "stride")
_CONV = {
    "c": Setting(32, 1, 4096, help="output channels"),
    "k": Setting(3, 1, 11, help="kernel; odd, so that the image keeps its size"),
    "down": Setting("none", choices=DOWNS, help="how the image is halved after the layer, or by its stride"),
    "skip": Setting(0, 0, 1, help="add the input spikes to the current"),
}
OPS: dict[str, dict[str, Setting]] = {
    "conv": _CONV,
    "sepconv": _CONV,
    "linear": {"c": Setting(128, 1, 65536, help="neurons")},
    "readout": {"grid": Setting(4, 1, 64, help="spikes are averaged to at most this many positions a side")},
}
HEADER = {
    "T": Setting(4, 1, 1024, help="time steps"),
    "encoding": Setting("direct", help="how an image becomes input"),
}
MAX_DEPTH = 64

_CHOICES = (
    "depth", "ops", "widths", "kernels", "downs", "skips", "rules", "neurons", "readouts", "T", "encodings",
)  # fmt: skip

Layer = dict[str, Value]
"""One gene as a flat plan: op, c, k, down, skip, rule, neuron."""


@dataclass(frozen=True)
class Chain(Space):
    """Chains whose every gene is one of these choices. `rules` is a list of names; the product is never typed out."""

    name: ClassVar[str] = "chain"
    summary: ClassVar[str] = "convolutions one after the other: depth, widths, kernels, pools, skips, neurons, rules, T"

    shape: tuple[int, int, int]
    classes: int
    depth: tuple[int, ...] = (2, 3, 4)
    ops: tuple[str, ...] = ("conv", "sepconv")
    widths: tuple[int, ...] = (16, 32, 64)
    kernels: tuple[int, ...] = (3, 5)
    downs: tuple[str, ...] = ("none", "avg", "max")
    skips: tuple[int, ...] = (0, 1)
    rules: tuple[str, ...] = ("usf", "brsf", "frsf", "fa", "dfa", "local", "stdp", "frozen")
    neurons: tuple[str, ...] = ("lif",)
    readouts: tuple[str, ...] = ("usf", "frsf")
    T: tuple[int, ...] = (4,)
    encodings: tuple[str, ...] = ("direct",)
    grid: int = 4

    def __post_init__(self) -> None:
        for key in _CHOICES:
            value = getattr(self, key)
            if not isinstance(value, tuple) or not value:
                raise UserError(f"space 'chain': {key} is a list of at least one choice, not {value!r}")
            object.__setattr__(self, key, tuple(dict.fromkeys(value)))
        for name in self.rules:
            rule = pair(_term(name).name)
            if rule.declaration.readout:
                raise UserError(f"space 'chain': rule {name!r} is the readout's, no hidden layer's")
        for transport in self.readouts:
            pair("delta", transport)
        for op in self.ops:
            if op not in ("conv", "sepconv"):
                raise UserError(f"space 'chain': ops are conv and sepconv, not {op!r}")
        for depth in self.depth:
            Setting(2, 1, MAX_DEPTH).check(depth, "space 'chain': depth")
        # One network of each choice is built, so that a slip in the configuration is found before the search.
        first = self._genotype(self._first_plan())
        keys: dict[str, tuple[Value, ...]] = {
            "c": self.widths,
            "k": self.kernels,
            "down": self.downs,
            "skip": self.skips,
            "neuron": self.neurons,
        }
        for gene_key, values in keys.items():
            for value in values:
                layer = {**self._first_plan()[1][0], gene_key: value}
                _layer_settings(_gene(layer), "space 'chain'")
        for T in self.T:
            _header(first.space.with_(T=T))
        for encoding in self.encodings:
            _header(first.space.with_(encoding=encoding))

    # -- expansion ---------------------------------------------------------------------------------------------------

    @classmethod
    def graph(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Graph:
        """See `Space.graph`."""
        if genotype.space.name != cls.name:
            raise UserError(f"a genotype of space {genotype.space.name!r} is no chain")
        if len(genotype.cells) != 1 or genotype.cells[0].name:
            raise UserError("a chain has one cell, without a name")
        header = _header(genotype.space)
        genes = genotype.genes
        if len(genes) - 1 > MAX_DEPTH:
            raise UserError(f"a chain has at most {MAX_DEPTH} layers, not {len(genes) - 1}")
        if genes[-1].op.name != "readout" or any(gene.op.name == "readout" for gene in genes[:-1]):
            raise UserError("a chain ends in its one readout, as in '...; readout@delta }'")
        encoding = str(header["encoding"])
        channels = shape[0] * neurons.encoding(encoding).channel_factor
        nodes = [Node("input", "input", (), (channels, *shape[1:]), encoding=encoding)]
        for index, gene in enumerate(genes):
            _expand(nodes, gene, index, classes)
        return Graph(tuple(nodes), int(header["T"]), classes)

    def canonical(self, genotype: Genotype) -> Genotype:
        """See `Space.canonical`."""
        return canonical(genotype, self.shape, self.classes)

    # -- sampling: count completions, then draw in proportion ---------------------------------------------------------

    def size(self) -> int:
        """See `Space.size`."""
        headers = len(self.T) * len(self.encodings)
        return headers * sum(self._completions(depth, 0, self.shape[1:], False) for depth in self.depth)

    def sample(self, rng: random.Random) -> Genotype:
        """See `Space.sample`: the genotypes that can follow each choice are counted, and it is drawn in proportion."""
        totals = [self._completions(depth, 0, self.shape[1:], False) for depth in self.depth]
        left = rng.choices(self.depth, totals)[0]
        channels, carried = 0, False
        sides: tuple[int, ...] = self.shape[1:]
        genes: list[Gene] = []
        while left:
            options = self._options(left, channels, sides, carried)
            gene, state = rng.choices([o[:2] for o in options], [o[2] for o in options])[0]
            genes.append(replace(gene, neuron=_term(rng.choice(self.neurons))))
            left, (channels, sides, carried) = left - 1, state
        transport = rng.choice(self.readouts) if carried else None
        genes.append(Gene(Term.of("readout", grid=self.grid), Term("delta"), transport))
        header = Term.of("chain", T=rng.choice(self.T), encoding=rng.choice(self.encodings))
        return self.canonical(Genotype(header, (Cell(tuple(genes)),)))

    @cached_property
    def _rule_pairs(self) -> dict[str, Pair]:
        return {name: pair(_term(name).name) for name in self.rules}

    @cached_property
    def _settled(self) -> tuple[str, ...]:
        """The rules that need no error from above."""
        return tuple(n for n, p in self._rule_pairs.items() if p.declaration.error != "transported")

    @cached_property
    def _carrying(self) -> tuple[str, ...]:
        """The rules that take an error from above and hand it on."""
        return tuple(n for n, p in self._rule_pairs.items() if p.declaration.error == "transported")

    @cached_property
    def _cache(self) -> dict[tuple[Any, ...], Any]:
        return {}

    def _completions(self, left: int, channels: int, sides: tuple[int, ...], carried: bool) -> int:
        """How many canonical chains continue from here: `carried` says that a layer below needs an error."""
        if not left:
            return len(self.readouts) if carried else 1
        return sum(option[2] for option in self._options(left, channels, sides, carried)) * len(self.neurons)

    def _options(
        self, left: int, channels: int, sides: tuple[int, ...], carried: bool
    ) -> list[tuple[Gene, tuple[int, tuple[int, ...], bool], int]]:
        """Every next gene (neurons aside), the state after it, and the number of its completions."""
        key = (left, channels, sides, carried)
        if key in self._cache:
            found: list[tuple[Gene, tuple[int, tuple[int, ...], bool], int]] = self._cache[key]
            return found
        options = []
        for op in self.ops:
            for width in self.widths:
                for kernel in self.kernels:
                    for down in self.downs:
                        if down != "none" and min(sides) < 2:
                            continue
                        smaller = _halved(sides, down)
                        for skip in self.skips:
                            if skip and not (channels == width and down != "stride"):
                                continue
                            plain = Term.of(op, c=width, k=kernel, down=down, skip=skip)
                            for rule, needs in self._next_rules(op, carried):
                                state = (width, smaller, needs)
                                count = self._completions(left - 1, *state)
                                if count:
                                    options.append((Gene(plain, rule), state, count))
        self._cache[key] = options
        return options

    def _next_rules(self, op: str, carried: bool) -> Iterator[tuple[Term, bool]]:
        """The rules that may follow, in canonical spelling, and whether an error must then come from above."""
        if not carried:
            for name in self._settled:
                yield _term(name), False
            if op == "conv":  # nothing below needs the error, so all transports are one
                for term in sorted({_untransported(name) for name in self._carrying}, key=str):
                    yield term, True
                return
        for name in self._carrying:
            yield _term(name), True

    # -- plans: a genotype as a flat list of choices, free of canonical spelling ---------------------------------------

    def _first_plan(self) -> tuple[Parameters, list[Layer]]:
        layer: Layer = {
            "op": self.ops[0], "c": self.widths[0], "k": self.kernels[0], "down": "none", "skip": 0,
            "rule": self.rules[0], "neuron": self.neurons[0],
        }  # fmt: skip
        return {"T": self.T[0], "encoding": self.encodings[0], "readout": self.readouts[0]}, [layer]

    @cached_property
    def _choices(self) -> dict[str, tuple[Value, ...]]:
        return {
            "op": self.ops, "c": self.widths, "k": self.kernels, "down": self.downs, "skip": self.skips,
            "rule": self.rules, "neuron": self.neurons,
        }  # fmt: skip

    @cached_property
    def _global_choices(self) -> dict[str, tuple[Value, ...]]:
        return {"T": self.T, "encoding": self.encodings, "readout": self.readouts}

    def _plan(self, genotype: Genotype) -> tuple[Parameters, list[Layer]]:
        """Undo the canonical spelling: every value of the plan is one of the choices.

        Raises:
            UserError: the genotype holds something that is none of this space's choices.
        """
        header = _header(genotype.space)
        *genes, readout = genotype.genes
        plan: Parameters = {key: header[key] for key in ("T", "encoding")}
        plan["readout"] = readout.transport or self.readouts[0]
        layers = []
        for number, gene in enumerate(genes, 1):
            settings = _layer_settings(gene, f"layer{number}")
            rule = str(gene.rule)
            if rule not in self.rules and gene.rule is not None:
                same = [n for n in self._carrying if _untransported(n) == gene.rule and gene.transport is None]
                rule = same[0] if same else f"{rule}~{gene.transport}" if gene.transport else rule
            layers.append({"op": gene.op.name, **settings, "rule": rule, "neuron": str(gene.neuron)})
        for where, values, choices in [
            ("the header", plan, self._global_choices),
            *((f"layer{i}", layer, self._choices) for i, layer in enumerate(layers, 1)),
        ]:
            for key, value in values.items():
                if value not in choices[key]:
                    raise UserError(f"{where}: {key}={value} is none of this space's choices, {_list(choices[key])}")
        if len(layers) not in self.depth:
            raise UserError(f"{len(layers)} layers are none of this space's depths, {_list(self.depth)}")
        return plan, layers

    def _genotype(self, plan: tuple[Parameters, list[Layer]]) -> Genotype:
        """Build, repair and respell a plan."""
        head, layers = plan
        genes = [_gene(layer) for layer in layers]
        readout = Gene(Term.of("readout", grid=self.grid), Term("delta"), str(head["readout"]))
        space = Term.of("chain", T=head["T"], encoding=head["encoding"])
        return self.repair(Genotype(space, (Cell((*genes, readout)),)))

    def repair(self, genotype: Genotype) -> Genotype:
        """See `Space.repair`: impossible pools and skips are dropped; what cannot get an error learns without one."""
        *genes, readout = genotype.genes
        channels = 0
        sides: tuple[int, ...] = self.shape[1:]
        for index, gene in enumerate(genes):
            settings = _layer_settings(gene, f"layer{index + 1}")
            if settings["down"] != "none" and min(sides) < 2:
                settings["down"] = "none"
            if settings["skip"] and (channels != settings["c"] or settings["down"] == "stride"):
                settings["skip"] = 0
            down = settings["down"]
            sides = _halved(sides, str(down))
            channels = int(settings["c"])
            genes[index] = replace(gene, op=Term.of(gene.op.name, **settings))
        if readout.transport in (None, "none"):
            readout = replace(readout, transport=self.readouts[0])
        carried = True
        for index in reversed(range(len(genes))):
            rule = _pair(genes[index])
            if rule.declaration.error == "transported" and not carried:
                if not self._settled:
                    raise UserError("space 'chain' has no rule that learns without a transported error to repair with")
                genes[index] = replace(genes[index], rule=_term(self._settled[0]), transport=None)
            carried = carried and _pair(genes[index]).transport != "none"
        return self.canonical(Genotype(genotype.space, (Cell((*genes, readout)),)))

    # -- variation -----------------------------------------------------------------------------------------------------

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Space.neighbours`: one choice changed, or a layer doubled or removed, and what that forces."""
        seen = {genotype}
        for plan in self._changes(self._plan(genotype)):
            other = self._genotype(plan)
            if other not in seen:
                seen.add(other)
                yield other

    def _changes(self, plan: tuple[Parameters, list[Layer]]) -> Iterator[tuple[Parameters, list[Layer]]]:
        head, layers = plan
        for key, choices in self._global_choices.items():
            for value in choices:
                if value != head[key]:
                    yield {**head, key: value}, layers
        for i, layer in enumerate(layers):
            for key, choices in self._choices.items():
                for value in choices:
                    if value != layer[key]:
                        yield head, [*layers[:i], {**layer, key: value}, *layers[i + 1 :]]
            if len(layers) + 1 in self.depth:
                yield head, [*layers[:i], layer, *layers[i:]]
            if len(layers) - 1 in self.depth:
                yield head, [*layers[:i], *layers[i + 1 :]]

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """See `Space.mutate`."""
        changes = list(self._changes(self._plan(genotype)))
        rng.shuffle(changes)
        for plan in changes:
            child = self._genotype(plan)
            if child != genotype:
                return child
        return genotype  # a space of one genotype

    def crossover(self, mother: Genotype, father: Genotype, rng: random.Random) -> Genotype:
        """See `Space.crossover`: the mother's lower layers under the father's upper ones."""
        head_a, low = self._plan(mother)
        head_b, high = self._plan(father)
        cuts = [(i, j) for i in range(len(low) + 1) for j in range(len(high) + 1) if i + len(high) - j in self.depth]
        i, j = rng.choice(cuts)
        head = {key: rng.choice((head_a, head_b))[key] for key in ("T", "encoding")} | {"readout": head_b["readout"]}
        return self._genotype((head, [*low[:i], *high[j:]]))

    # -- NNI -----------------------------------------------------------------------------------------------------------

    def encode(self, genotype: Genotype) -> Parameters:
        """See `Space.encode`."""
        head, layers = self._plan(genotype)
        flat: Parameters = {"T": head["T"], "encoding": head["encoding"], "depth": len(layers)}
        for i, layer in enumerate(layers, 1):
            flat.update({f"layer{i}.{key}": value for key, value in layer.items()})
        return {**flat, "readout": head["readout"]}

    def decode(self, parameters: Mapping[str, Any]) -> Genotype:
        """See `Space.decode`."""
        legal = self.search_space()

        def take(key: str) -> Value:
            if key not in parameters:
                raise UserError(f"parameter {key!r} is missing")
            value: Value = parameters[key]
            if value not in legal[key]["_value"]:
                raise UserError(f"parameter {key!r} is one of {_list(legal[key]['_value'])}, not {value!r}")
            return value

        for key in parameters:
            if key not in legal:
                raise UserError(f"unknown parameter {key!r}{nearest(key, legal)}")
        depth = int(take("depth"))
        layers = [{key: take(f"layer{i}.{key}") for key in self._choices} for i in range(1, depth + 1)]
        return self._genotype(({key: take(key) for key in self._global_choices}, layers))

    def search_space(self) -> dict[str, dict[str, Any]]:
        """See `Space.search_space`; a layer beyond `depth` has no effect."""

        def choice(values: tuple[Value, ...]) -> dict[str, Any]:
            return {"_type": "choice", "_value": list(values)}

        space = {"T": choice(self.T), "encoding": choice(self.encodings), "depth": choice(self.depth)}
        for i in range(1, max(self.depth) + 1):
            space.update({f"layer{i}.{key}": choice(values) for key, values in self._choices.items()})
        return {**space, "readout": choice(self.readouts)}

    def contains(self, genotype: Genotype) -> bool:
        """See `Space.contains`."""
        try:
            return self._genotype(self._plan(genotype)) == genotype
        except UserError:
            return False


def canonical(genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Genotype:
    """Respell a chain: defaults left out, short rule names, no transport that nothing below needs.

    Raises:
        UserError: the chain is invalid for such images; the message names the layer.
    """
    credit = check(Chain.graph(genotype, shape, classes))
    genes = []
    for index, gene in enumerate(genotype.genes):
        nodes = [node for node in credit.graph.layers if node.gene == index]
        used = {node.transport for node in nodes} - {"none"}
        assert gene.rule is not None
        declaration, transport = nodes[0].pair.declaration, used.pop() if used else "none"
        spelled = Pair(declaration, transport).name.split("~")
        rule_settings = _sparse(gene.rule, declaration.settings)
        neuron = gene.neuron and _sparse(gene.neuron, neurons.declaration(gene.neuron.name).settings)
        genes.append(
            replace(
                gene,
                op=_respell(gene.op),
                rule=Term(spelled[0], rule_settings.settings),
                transport=spelled[1] if len(spelled) > 1 else None,
                neuron=neuron,
            )
        )
    header = _header(genotype.space)
    space = Term.of("chain", **{k: v for k, v in header.items() if k == "T" or v != HEADER[k].default})
    return Genotype(space, (Cell(tuple(genes)),))


@lru_cache(maxsize=1024)
def _term(text: str) -> Term:
    """Read a rule or a neuron with settings, such as `lif(tau=3.0)`, from a configuration."""
    return parse(f"{text}{{x}}").space


def _untransported(rule: str) -> Term:
    """How a rule is spelled when it sends no error on."""
    term = _term(rule)
    return Term(pair(term.name).declaration.name, term.settings)


def _pair(gene: Gene) -> Pair:
    assert gene.rule is not None
    return pair(gene.rule.name, gene.transport)


def _gene(layer: Layer) -> Gene:
    op = Term.of(str(layer["op"]), c=layer["c"], k=layer["k"], down=layer["down"], skip=layer["skip"])
    return Gene(op, _term(str(layer["rule"])), None, _term(str(layer["neuron"])))


def _halved(sides: tuple[int, ...], down: str) -> tuple[int, ...]:
    """Sides of the image after a gene with this `down`."""
    if down == "none":
        return sides
    return tuple((side + 1) // 2 if down == "stride" else side // 2 for side in sides)


def _list(values: tuple[Value, ...] | list[Value]) -> str:
    return ", ".join(map(str, values))


def _sparse(term: Term, declared: Mapping[str, Setting]) -> Term:
    """Check a term's settings and leave out those at their default."""
    values = resolve(term.values, declared, term.name)
    return Term.of(term.name, **{key: value for key, value in values.items() if value != declared[key].default})


def _respell(op: Term) -> Term:
    """Sizes are always written, `down` and `skip` only where they do something."""
    values = resolve(op.values, OPS[op.name], op.name)
    kept = {k: v for k, v in values.items() if k in ("c", "k", "grid") or v != OPS[op.name][k].default}
    return Term.of(op.name, **kept)


def _header(space: Term) -> dict[str, Value]:
    header = resolve(space.values, HEADER, "chain")
    neurons.encoding(str(header["encoding"]))
    return header


def _layer_settings(gene: Gene, where: str) -> dict[str, Value]:
    """A gene's settings, checked, defaults filled in.

    Raises:
        UserError: what is unknown or out of range, with the layer's name.
    """
    if gene.op.name not in OPS:
        raise UserError(f"{where}: unknown operation {gene.op.name!r}{nearest(gene.op.name, OPS)}")
    if gene.edge is not None:
        raise UserError(f"{where}: a chain's genes have no edges")
    settings = resolve(gene.op.values, OPS[gene.op.name], f"{where}: {gene.op.name}")
    if int(settings.get("k", 1)) % 2 == 0:
        raise UserError(f"{where}: a kernel is odd, not {settings['k']}")
    if gene.rule is None:
        known = ", ".join(rules())
        raise UserError(f"{where} has no rule; write {gene.op}@RULE, with one of {known} or a transport's name")
    rule = pair(gene.rule.name, gene.transport)
    resolve(gene.rule.values, rule.declaration.settings, f"{where}: rule {gene.rule.name}")
    if rule.declaration.readout != (gene.op.name == "readout"):
        use = "only" if rule.declaration.readout else "not"
        raise UserError(f"{where}: rule {gene.rule.name!r} is {use} for the readout")
    if gene.op.name == "readout":
        if gene.neuron is not None:
            raise UserError(f"{where} has no neurons: its current is the network's output")
    elif gene.neuron is None:
        raise UserError(f"{where} has no neurons; write {gene.op}@{gene.rule}/lif")
    else:
        resolve(gene.neuron.values, neurons.declaration(gene.neuron.name).settings, f"{where}: {gene.neuron.name}")
    return settings


def _expand(nodes: list[Node], gene: Gene, index: int, classes: int) -> None:
    """Append a gene's nodes."""
    readout = gene.op.name == "readout"
    name = "readout" if readout else f"layer{index + 1}"
    settings = _layer_settings(gene, name)
    below = nodes[-1]
    rule = pair(gene.rule.name, gene.transport)  # type: ignore[union-attr]
    use = Term(rule.declaration.name, gene.rule.settings)  # type: ignore[union-attr]

    def layer(suffix: str, synapse: Synapse, *shortcuts: str) -> None:
        try:
            shape = synapse.out_shape(nodes[-1].shape)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        inputs = (nodes[-1].name, *shortcuts)
        nodes.append(Node(name + suffix, "layer", inputs, shape, synapse, use, rule.transport, gene.neuron, gene=index))

    def pool(op: str, kernel: int) -> None:
        try:
            shape = pooled(nodes[-1].shape, kernel)
        except UserError as error:
            raise UserError(f"{name}: {error}; leave out its down={settings.get('down')}") from None
        nodes.append(Node(f"{name}_pool", op, (nodes[-1].name,), shape, kernel=kernel, gene=index))  # type: ignore[arg-type]

    def flatten() -> None:
        if len(nodes[-1].shape) == 3:
            nodes.append(Node(f"{name}_flatten", "flatten", (nodes[-1].name,), (size(nodes[-1].shape),), gene=index))

    if readout or gene.op.name == "linear":
        if readout and len(below.shape) == 3:
            kernel = -(-max(below.shape[1:]) // int(settings["grid"]))
            kernel = min(kernel, *below.shape[1:])
            if kernel > 1:
                pool("avgpool", kernel)
        flatten()
        layer("", Synapse("linear", nodes[-1].shape[0], classes if readout else int(settings["c"])))
        return
    if len(below.shape) == 1:
        raise UserError(f"{name}: no convolution can follow a linear layer")
    c, k = int(settings["c"]), int(settings["k"])
    stride = 2 if settings["down"] == "stride" else 1
    shortcuts: tuple[str, ...] = ()
    if settings["skip"]:
        if below.op == "input":
            raise UserError(f"{name}: the first layer has no input spikes to skip with; leave out its skip=1")
        if stride == 2 or below.shape[0] != c:
            raise UserError(
                f"{name}: a skip needs equal shapes; its input has {below.shape[0]} channels, its output {c}, "
                f"its stride is {stride}"
            )
        shortcuts = (below.name,)
    if gene.op.name == "conv":
        layer("", Synapse("conv", below.shape[0], c, k, stride, k // 2), *shortcuts)
    else:
        layer("_depthwise", Synapse("conv", below.shape[0], below.shape[0], k, stride, k // 2, groups=below.shape[0]))
        layer("_pointwise", Synapse("conv", below.shape[0], c), *shortcuts)
    if settings["down"] in ("avg", "max"):
        pool(f"{settings['down']}pool", 2)
