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
from functools import cached_property
from typing import Any, ClassVar

from neurons.errors import UserError
from neurons.settings import Setting, Value
from rules.registry import pair
from snn_nas.credit import check
from snn_nas.genotype import Cell, Gene, Genotype, Term
from snn_nas.graph import Graph, Op, Synapse
from snn_nas.spaces import genes as shared
from snn_nas.spaces.genes import HEADER, Builder, Choices, listed, pair_of, term
from snn_nas.spaces.space import Exports, Parameters, Space

DOWNS = ("none", "avg", "max", "stride")
_CONV = {
    "c": Setting(32, 1, 4096, help="output channels"),
    "k": Setting(3, 1, 11, help="kernel; odd, so that the image keeps its size"),
    "down": Setting("none", choices=DOWNS, help="how the image is halved after the layer, or by its stride"),
    "skip": Setting(0, 0, 1, help="add the input spikes to the current"),
}
OPS: dict[str, Mapping[str, Setting]] = {
    "conv": _CONV,
    "sepconv": _CONV,
    "linear": {"c": Setting(128, 1, 65536, help="neurons")},
    "readout": shared.READOUT,
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

    exports: ClassVar[Exports] = {"downs": {"none": ("nir",), "avg": ("nir",), "stride": ("nir",), "max": ()}}

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
        shared.check_lists(self, *_CHOICES)
        _ = self._offered
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
            shared.header(first.space.with_(T=T), HEADER)
        for encoding in self.encodings:
            shared.header(first.space.with_(encoding=encoding), HEADER)

    # -- expansion ---------------------------------------------------------------------------------------------------

    @classmethod
    def graph(cls, genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Graph:
        """See `Space.graph`."""
        if genotype.space.name != cls.name:
            raise UserError(f"a genotype of space {genotype.space.name!r} is no chain")
        if len(genotype.cells) != 1 or genotype.cells[0].name:
            raise UserError("a chain has one cell, without a name")
        header = shared.header(genotype.space, HEADER)
        genes = genotype.genes
        if len(genes) - 1 > MAX_DEPTH:
            raise UserError(f"a chain has at most {MAX_DEPTH} layers, not {len(genes) - 1}")
        if genes[-1].op.name != "readout" or any(gene.op.name == "readout" for gene in genes[:-1]):
            raise UserError("a chain ends in its one readout, as in '...; readout@delta }'")
        built = Builder(shape, str(header["encoding"]))
        for index, gene in enumerate(genes):
            _expand(built, gene, index, classes)
        return Graph(tuple(built.nodes), int(header["T"]), classes)

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
            genes.append(replace(gene, neuron=term(rng.choice(self.neurons))))
            left, (channels, sides, carried) = left - 1, state
        transport = rng.choice(self.readouts) if carried else None
        genes.append(Gene(Term.of("readout", grid=self.grid), Term("delta"), transport))
        header = Term.of("chain", T=rng.choice(self.T), encoding=rng.choice(self.encodings))
        return self.canonical(Genotype(header, (Cell(tuple(genes)),)))

    @cached_property
    def _offered(self) -> Choices:
        return Choices("chain", self.rules)

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
            for name in self._offered.settled:
                yield term(name), False
            if op == "conv":  # nothing below needs the error, so all transports are one
                for silent in self._offered.silent:
                    yield silent, True
                return
        for name in self._offered.carrying:
            yield term(name), True

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
        header = shared.header(genotype.space, HEADER)
        *genes, readout = genotype.genes
        plan: Parameters = {key: header[key] for key in ("T", "encoding")}
        plan["readout"] = readout.transport or self.readouts[0]
        layers = []
        for number, gene in enumerate(genes, 1):
            settings = _layer_settings(gene, f"layer{number}")
            layers.append(
                {"op": gene.op.name, **settings, "rule": self._offered.choice(gene), "neuron": str(gene.neuron)}
            )
        for where, values, choices in [
            ("the header", plan, self._global_choices),
            *((f"layer{i}", layer, self._choices) for i, layer in enumerate(layers, 1)),
        ]:
            for key, value in values.items():
                if value not in choices[key]:
                    raise UserError(f"{where}: {key}={value} is none of this space's choices, {listed(choices[key])}")
        if len(layers) not in self.depth:
            raise UserError(f"{len(layers)} layers are none of this space's depths, {listed(self.depth)}")
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
            rule = pair_of(genes[index])
            if rule.declaration.error == "transported" and not carried:
                genes[index] = replace(genes[index], rule=self._offered.fallback(), transport=None)
            carried = carried and pair_of(genes[index]).transport != "none"
        return self.canonical(Genotype(genotype.space, (Cell((*genes, readout)),)))

    # -- variation -----------------------------------------------------------------------------------------------------

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """See `Space.neighbours`: one choice changed, or a layer doubled or removed, and what that forces."""
        return shared.others(genotype, map(self._genotype, self._changes(self._plan(genotype))))

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

        depth = int(shared.checked(parameters, legal, ["depth"])["depth"])
        keys = [f"layer{i}.{key}" for i in range(1, depth + 1) for key in self._choices]
        flat = shared.checked(parameters, legal, [*self._global_choices, *keys])
        layers = [{key: flat[f"layer{i}.{key}"] for key in self._choices} for i in range(1, depth + 1)]
        return self._genotype(({key: flat[key] for key in self._global_choices}, layers))

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
    graph = check(Chain.graph(genotype, shape, classes)).graph
    genes = tuple(
        shared.spelled(gene, shared.respell(gene.op, OPS[gene.op.name]), [n for n in graph.layers if n.gene == index])
        for index, gene in enumerate(genotype.genes)
    )
    header = shared.header(genotype.space, HEADER)
    space = Term.of("chain", **{k: v for k, v in header.items() if k == "T" or v != HEADER[k].default})
    return Genotype(space, (Cell(genes),))


def _gene(layer: Layer) -> Gene:
    op = Term.of(str(layer["op"]), c=layer["c"], k=layer["k"], down=layer["down"], skip=layer["skip"])
    return Gene(op, term(str(layer["rule"])), None, term(str(layer["neuron"])))


def _halved(sides: tuple[int, ...], down: str) -> tuple[int, ...]:
    """Sides of the image after a gene with this `down`."""
    if down == "none":
        return sides
    return tuple((side + 1) // 2 if down == "stride" else side // 2 for side in sides)


def _layer_settings(gene: Gene, where: str) -> dict[str, Value]:
    """A gene's settings, checked, defaults filled in.

    Raises:
        UserError: what is unknown or out of range, with the layer's name.
    """
    if gene.edge is not None:
        raise UserError(f"{where}: a chain's genes have no edges")
    return shared.check(gene, where, OPS, readout=gene.op.name == "readout")


def _expand(built: Builder, gene: Gene, index: int, classes: int) -> None:
    """Append a gene's nodes."""
    readout = gene.op.name == "readout"
    name = "readout" if readout else f"layer{index + 1}"
    settings = _layer_settings(gene, name)
    below = built.nodes[-1]
    if readout:
        built.readout(gene, index, below.name, int(settings["grid"]), classes)
        return
    c = int(settings["c"])
    if gene.op.name == "linear":
        source = built.flatten(f"{name}_flatten", below.name, index)
        built.layer(name, gene, index, Synapse("linear", built.shapes[source][0], c), source)
        return
    if len(below.shape) == 1:
        raise UserError(f"{name}: no convolution can follow a linear layer")
    k, stride = int(settings["k"]), 2 if settings["down"] == "stride" else 1
    shortcuts: tuple[str, ...] = ()
    if settings["skip"]:
        if below.op == "input":
            raise UserError(f"{name}: the first layer has no input spikes to skip with; leave out its skip=1")
        if stride == 2 or below.shape[0] != c:
            shapes = f"its input has {below.shape[0]} channels, its output {c}, stride {stride}"
            raise UserError(f"{name}: a skip needs equal shapes; {shapes}")
        shortcuts = (below.name,)
    c_in = below.shape[0]
    if gene.op.name == "conv":
        built.layer(name, gene, index, Synapse("conv", c_in, c, k, stride, k // 2), below.name, *shortcuts)
    else:
        depthwise = Synapse("conv", c_in, c_in, k, stride, k // 2, groups=c_in)
        source = built.layer(f"{name}_depthwise", gene, index, depthwise, below.name)
        built.layer(f"{name}_pointwise", gene, index, Synapse("conv", c_in, c), source, *shortcuts)
    if (down := settings["down"]) in ("avg", "max"):
        op: Op = "avgpool" if down == "avg" else "maxpool"
        try:
            built.pool(f"{name}_pool", op, built.nodes[-1].name, index, 2)
        except UserError as error:
            raise UserError(f"{name}: {error}; leave out its down={down}") from None
