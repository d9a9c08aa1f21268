"""The DARTS cell: the contract, its counts against brute force, its network, its spelling, and its messages."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neurons.errors import UserError
from rules.layer import Layer
from snn_nas import network, spaces
from snn_nas.credit import check
from snn_nas.energy.counter import count
from snn_nas.export.check import mismatches
from snn_nas.export.nir_export import to_nir
from snn_nas.genotype import Genotype, parse
from snn_nas.search.features import features
from snn_nas.spaces.darts import DARTS
from snn_nas.spaces.darts_shapes import FACTS, Labels, Shapes
from snn_nas.spaces.darts_wiring import numberings, standing, topologies
from tests.contracts.space import SpaceContract, made, walk

SHAPE = (1, 4, 4)


class TestRulesPerEdge(SpaceContract):
    def tiny(self) -> DARTS:
        return DARTS(
            SHAPE, 10, ops=("skip",), rules=("fa", "local"), readouts=("usf", "fa"), T=(1, 4), cells=(2,),
            reductions=1, nodes=1,
        )  # fmt: skip

    def large(self) -> DARTS:
        return DARTS((3, 32, 32), 10, channels=(16, 32), cells=(3, 4), T=(2, 4))


class TestRulesPerPosition(SpaceContract):
    def tiny(self) -> DARTS:
        return DARTS(
            SHAPE, 10, ops=("sep3", "avg"), rules=("usf", "local"), readouts=("usf",), cells=(2,), reductions=0,
            rules_per="position", nodes=1, stack=1,
        )  # fmt: skip

    def large(self) -> DARTS:
        return DARTS(
            (1, 28, 28), 10, cells=(3, 4), nodes=2, rules_per="position", neurons=("lif", "if"), T=(1, 4), stack=1
        )


class TestRulesPerCell(SpaceContract):
    def tiny(self) -> DARTS:
        return DARTS(
            SHAPE, 10, ops=("skip", "dil3"), rules=("fa", "usf", "local"), readouts=("usf", "fa"), cells=(1, 2),
            reductions=0, rules_per="cell", nodes=1,
        )  # fmt: skip

    def large(self) -> DARTS:
        return DARTS((3, 32, 32), 10, rules_per="cell", cells=(4,), encodings=("direct", "poisson"), stack=1)


class Skips(SpaceContract):
    """Rules on the skips of a reduction: not collected, for its size and sampling alone are of interest."""

    def tiny(self) -> DARTS:
        return DARTS(
            SHAPE, 10, ops=("skip",), rules=("usf", "local"), readouts=("usf",), cells=(2,), reductions=1,
            rules_per="position", nodes=1,
        )  # fmt: skip


class Pools(SpaceContract):
    """Two reductions."""

    def tiny(self) -> DARTS:
        return DARTS(
            SHAPE, 10, ops=("avg",), rules=("usf", "local"), readouts=("usf",), cells=(3,), reductions=2,
            rules_per="position", nodes=1,
        )  # fmt: skip


# -- counts against brute force ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [TestRulesPerPosition, TestRulesPerCell, Skips])
def test_size_is_the_number_of_networks_that_all_plans_make(case: type[SpaceContract]) -> None:
    space = made(case, "tiny")
    choices = {key: choice["_value"] for key, choice in space.search_space().items()}
    every = {space.decode(dict(zip(choices, plan, strict=True))) for plan in itertools.product(*choices.values())}
    assert len(every) == space.size()
    assert every == walk(space)


@pytest.mark.parametrize("case", [Skips, Pools])
def test_size_and_sampling_where_reductions_have_rules_of_their_own(case: type[SpaceContract]) -> None:
    space, every = case().everything()
    assert space.size() == len(every)
    case().test_sampling_is_uniform()


def test_wirings_of_all_cells() -> None:
    """180 ways to write four nodes down, 79 of them different."""
    for nodes, ordered, different in ((1, 1, 1), (2, 3, 3), (3, 18, 13), (4, 180, 79)):
        pairs = [itertools.combinations(range(node), 2) for node in range(2, nodes + 2)]
        written = [
            tuple((source, target) for target, pair in enumerate(way, 2) for source in pair)
            for way in itertools.product(*pairs)
        ]
        assert len(written) == ordered
        assert {tuple(standing(dict.fromkeys(edges, 0))) for edges in written} == {
            topology.edges for topology in topologies(nodes)
        }
        assert len(topologies(nodes)) == different
        assert sum(len({*map(tuple, numberings(dict.fromkeys(t.edges, 0)))}) for t in topologies(nodes)) == ordered


def test_shapes_and_their_rules_are_counted_exactly() -> None:
    """Against every labelling of every wiring, each brought to its canonical form."""
    convs, pools, routes = ("sep3",), ("avg",), ("skip",)
    shapes = Shapes(2, convs, ("skip", *pools), pools, routes)
    settled, sending, silent = ("s1",), ("k1", "k2"), ("u",)
    found: dict[object, Counter[object]] = defaultdict(Counter)
    for topology in topologies(2):
        able = [(*convs, *pools, "skip") for _ in topology.edges]
        for ops in itertools.product(*able):
            shape = tuple(standing(dict(zip(topology.edges, ops, strict=True))).items())
            for facts in FACTS:
                options = []
                for op, (source, _) in zip(ops, topology.edges, strict=True):
                    bears = op in convs or (op == "skip" and source < 2)
                    single = op == "skip" and source < 2 and not facts[source]
                    options.append((*settled, *(silent if single else sending)) if bears else ("",))
                seen = set()
                for labels in itertools.product(*options):
                    needs = [label[:1] in ("k", "u") for label in labels]
                    passes = [False, False]
                    for need, label, (source, _) in zip(needs, labels, topology.edges, strict=True):
                        if source < 2:
                            passes[source] |= need or not label
                    reached = all(on or not pre for on, pre in zip(passes, facts[:2], strict=True))
                    if any(needs) == facts.edges and reached:
                        cell = zip(topology.edges, zip(ops, labels, strict=True), strict=True)
                        seen.add(tuple(standing(dict(cell)).items()))
                found[shape][facts] = len(seen)
    labels = Labels(len(settled), len(sending), len(silent))
    assert sum(shapes.profiles.values()) == len(found)
    for power in (1, 2, 3):  # a product over positions tells apart what a sum does not
        for facts in FACTS:
            counted = sum(n * profile.assignments(facts, labels) ** power for profile, n in shapes.profiles.items())
            assert counted == sum(numbers[facts] ** power for numbers in found.values())


def test_shapes_are_drawn_uniformly() -> None:
    shapes, rng = Shapes(2, ("sep3",), ("skip",), (), ("skip",)), random.Random(0)
    size, mean = sum(shapes.profiles.values()), 200
    drawn: Counter[object] = Counter()
    for profile, number in shapes.profiles.items():
        for _ in range(mean * number):
            shape = shapes.draw(rng, profile)
            drawn[tuple(standing(dict(zip(shape.topology.edges, shape.ops, strict=True))).items())] += 1
    assert len(drawn) == size
    chi = sum((each - mean) ** 2 / mean for each in drawn.values())
    assert abs(chi - size) < 5 * (2 * size) ** 0.5


# -- spelling ----------------------------------------------------------------------------------------------------------

SPACE = DARTS((2, 8, 8), 10, nodes=2, cells=(3,), channels=(4,), stack=1)
HEAD = "darts(cells=3,channels=4,stack=1)"
PRES = "pre0@usf/lif; pre1@usf/lif"
REDUCE = f"reduce{{ {PRES}; skip@usf/lif[0>2]; avg[1>2]; sep3@usf/lif[0>3]; skip[2>3] }}"


def around(normal: str, reduce: str = REDUCE, stem: str = "frsf", readout: str = "~usf") -> str:
    return f"{HEAD} stem{{ conv@{stem}/lif }} normal{{ {normal} }} {reduce} readout{{ readout(grid=1)@delta{readout} }}"


A = f"{PRES}; sep3@fa/lif[0>2]; avg[1>2]; skip[0>3]; dil3@dfa/lif[1>3]"
B = f"{PRES}; skip[0>2]; dil3@dfa/lif[1>2]; sep3@fa/lif[0>3]; avg[1>3]"


def test_the_order_of_nodes_means_nothing() -> None:
    one, other = (SPACE.canonical(parse(around(text))) for text in (A, B))
    assert one == other
    assert one.digest == other.digest
    assert features(parse(around(A))) == features(parse(around(B)))


@pytest.mark.parametrize(
    "text",
    [
        A.replace("sep3@fa", "sep3@usf"),
        A.replace("sep3", "sep5"),
        A.replace("avg", "max"),
        A.replace("pre0@usf", "pre0@frsf"),
        A.replace("sep3@fa/lif[0>2]; avg[1>2]", "avg[0>2]; sep3@fa/lif[1>2]"),
        A.replace("skip[0>3]; dil3@dfa/lif[1>3]", "skip[0>3]; dil3@dfa/lif[2>3]"),
    ],
)
def test_other_cells_are_others(text: str) -> None:
    assert SPACE.canonical(parse(around(text))) != SPACE.canonical(parse(around(A)))
    assert features(parse(around(text))) != features(parse(around(A)))


def one_by_one(text: str) -> Genotype:
    genotype = parse(text)
    stem, normal, reduce, readout = genotype.cells
    cells = [normal, reduce, reduce]
    named = (type(cell)(cell.genes, f"cell{i}") for i, cell in enumerate(cells, 1))
    return Genotype(genotype.space, (stem, *named, readout))


def test_cells_that_are_alike_are_written_once() -> None:
    shared = SPACE.canonical(parse(around(A)))
    assert [cell.name for cell in shared.cells] == ["stem", "normal", "reduce", "readout"]
    assert SPACE.canonical(one_by_one(around(A))) == shared
    other = str(one_by_one(around(A))).replace("cell3{ pre0@usf", "cell3{ pre0@frsf")
    spelled = SPACE.canonical(parse(other))
    assert [cell.name for cell in spelled.cells] == ["stem", "cell1", "cell2", "cell3", "readout"]
    assert SPACE.canonical(spelled) == spelled
    assert not SPACE.contains(spelled)
    assert DARTS((2, 8, 8), 10, nodes=2, cells=(3,), channels=(4,), stack=1, rules_per="position").contains(spelled)


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["edge", "position", "cell"]))
def test_any_chain_of_variations_stays_valid_and_builds(rng: random.Random, per: str) -> None:
    space = DARTS((2, 8, 8), 10, nodes=3, cells=(3, 4), channels=(4,), stack=1, rules_per=per)
    genotype = space.sample(rng)
    for _ in range(3):
        genotype = space.crossover(space.mutate(genotype, rng), space.sample(rng), rng)
    assert space.contains(genotype)
    assert parse(str(genotype)) == genotype
    assert space.decode(space.encode(genotype)) == genotype
    check(space.graph(genotype, space.shape, space.classes))


@pytest.mark.parametrize("per", ["edge", "position", "cell"])
def test_a_change_of_one_rule_leads_out_of_a_network_that_transports_nothing(per: str) -> None:
    """A layer near the input that is to have an error brings the rule to those above it that would keep it away."""
    space = DARTS((2, 8, 8), 10, nodes=2, cells=(4,), channels=(4,), stack=1, rules=("frsf", "stdp"), rules_per=per)
    silent = space.decode(
        {key: "stdp" if "stdp" in c["_value"] else c["_value"][0] for key, c in space.search_space().items()}
    )
    assert "frsf" not in str(silent)
    near = [other for other in space.neighbours(silent) if "frsf" in str(other) or "gradient" in str(other)]
    assert any("stem{ conv@gradient" in str(other) for other in near)
    assert all(space.contains(other) for other in near[:10])


# -- the network -------------------------------------------------------------------------------------------------------


def seen(built: network.Network, images: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """What went into each layer and what came out."""
    found = {}
    for name, layer in built.layers.items():
        layer.register_forward_hook(lambda _m, x, y, name=name: found.__setitem__(name, (x[0], y)))
    with torch.no_grad():
        built(images)
    return found


def test_cells_compute_what_the_paper_says() -> None:
    """Nodes are sums of two edges, a cell all its nodes; the second cell reads the stem, and so on; by hand."""
    torch.manual_seed(0)
    reduce = f"reduce{{ {PRES}; skip@usf/lif[0>2]; max[1>2]; avg[0>3]; skip[2>3] }}"
    genotype = parse(around(A, reduce).replace("/lif", "/lif(threshold=0.3)"))
    at = seen(network.build(genotype, (2, 8, 8), 10), torch.rand(3, 2, 8, 8))

    def out(name: str) -> torch.Tensor:
        return at[name][1]

    def pool(name: str, x: torch.Tensor, stride: int) -> torch.Tensor:
        run = nn.functional.avg_pool2d if name == "avg" else nn.functional.max_pool2d
        return run(x.flatten(0, 1), 3, stride, 1).unflatten(0, x.shape[:2])

    for pre in ("cell1_pre0", "cell1_pre1"):
        assert torch.equal(at[pre][0], out("stem"))
    node2 = out("cell1_0to2_pointwise1") + pool("avg", out("cell1_pre1"), 1)
    node3 = out("cell1_pre0") + out("cell1_1to3_pointwise1")
    cell1 = torch.cat([node2, node3], 2)
    assert torch.equal(at["cell2_pre0"][0], out("stem"))
    assert torch.equal(at["cell2_pre1"][0], cell1)
    skip = torch.cat([out("cell2_0to2_even"), out("cell2_0to2_odd")], 2)
    node2 = skip + pool("max", out("cell2_pre1"), 2)
    cell2 = torch.cat([node2, node2 + pool("avg", out("cell2_pre0"), 2)], 2)
    assert torch.equal(at["cell3_pre1"][0], cell2)
    assert cell2.shape[2:] == (16, 4, 4)
    # Behind a reduction, the other input is halved; the second half of its channels sees the pixels between.
    assert torch.equal(at["cell3_pre0_even"][0], cell1)
    moved = at["cell3_pre0_odd"][0]
    assert torch.equal(moved[..., :-1, :-1], cell1[..., 1:, 1:])
    assert not moved[..., -1, :].any()
    assert not moved[..., -1].any()


def test_every_weight_has_a_rule() -> None:
    space = DARTS((2, 8, 8), 10, nodes=4, cells=(4,), channels=(4,))
    for seed in range(3):
        built = network.build(space.sample(random.Random(seed)), (2, 8, 8), 10)
        owned = {id(layer.synapse) for layer in built}
        assert all(isinstance(layer, Layer) and layer.pair.declaration for layer in built)
        assert {id(m) for m in built.modules() if isinstance(m, nn.Conv2d | nn.Linear) and id(m) not in owned} <= {
            id(m) for layer in built for m in layer.rule.modules()
        }
        weights = sum(layer.synapse.weight.numel() for layer in built)
        assert weights == built.graph.weights
        assert sum(built.credit.shares.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("side", [7, 8])
def test_it_is_counted_and_exported_exactly(side: int) -> None:
    """Odd sides too; synaptic operations by a dense count of the connections, spike by spike."""
    torch.manual_seed(0)
    genotype = parse(around(A).replace("/lif", "/lif(reset=hard,threshold=0.3)"))
    built = network.build(genotype, (2, side, side), 10)
    images = torch.rand(4, 2, side, side)
    with torch.no_grad():
        for _ in range(3):
            built(images)  # so that the norms know their inputs
    built.eval()
    activity = count(built, [images])
    at = seen(built, images)
    for name in ("cell1_0to2_depthwise1", "cell2_pre0", "cell3_pre0_odd", "cell2_0to2_odd"):
        layer, (x, _) = built.layers[name], at[name]
        ones = nn.functional.conv2d(
            (x != 0).double().flatten(0, 1), torch.ones_like(layer.synapse.weight, dtype=torch.float64), None,
            layer.synapse.stride, layer.synapse.padding, layer.synapse.dilation, layer.synapse.groups,
        )  # fmt: skip
        done = activity[name]
        assert (sum(done.synops) + sum(done.macs)) * 4 == pytest.approx(float(ones.sum()))
    assert not {"concat", "shift"} & {node.op for node in activity.nodes}
    averages = nn.functional.avg_pool2d(at["cell1_pre1"][1].flatten(0, 1), 3, 1, 1)
    assert sum(activity["cell1_node2"].adds) * 4 == int((averages != 0).sum())  # the second addend's events
    assert set(mismatches(built, to_nir(built), images).values()) == {0}


def test_errors_reach_the_stem_through_concatenations_and_shifts() -> None:
    """Under bp the gradients are those of the same computation, differentiated by torch."""
    torch.manual_seed(0)
    genotype = parse(
        around(A, stem="bp", readout="~exact").replace("@usf", "@bp").replace("@fa", "@bp").replace("@dfa", "@bp")
    )
    built = network.build(genotype, (2, 8, 8), 10)
    images = torch.rand(3, 2, 8, 8)
    built(images).mean(0)[:, 0].sum().backward()
    found = {name: layer.synapse.weight.grad.clone() for name, layer in built.layers.items()}
    assert all(bool(grad.abs().sum() > 0) for grad in found.values())
    for layer in built:
        layer.synapse.weight.grad = None
        layer.transport.forward = lambda synapse, x: synapse(x)  # torch's own
    built(images).mean(0)[:, 0].sum().backward()
    assert all(torch.allclose(layer.synapse.weight.grad, found[name]) for name, layer in built.layers.items())


# -- narrowing and messages --------------------------------------------------------------------------------------------


def test_everything_drawn_from_a_narrowed_space_is_exported() -> None:
    given = {"cells": [3], "channels": [4], "nodes": 2, "stack": 1, "neurons": ["lif", "alif", "if(reset=hard)"]}
    space = spaces.build("darts", shape=(1, 8, 8), classes=10, choices=given, exportable="nir")
    assert "max" not in space.search_space()["normal.2.1.op"]["_value"]
    rng = random.Random(0)
    for _ in range(4):
        built = network.build(space.sample(rng), (1, 8, 8), 10)
        built.eval()
        assert set(mismatches(built, to_nir(built), torch.rand(2, 1, 8, 8)).values()) == {0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (around(A.replace("pre0@usf/lif; ", "")), "normal has no pre0"),
        (around(A + "; pre1@fa/lif"), "normal, pre1 is written twice"),
        (around(A + "; skip[0>3]"), "edge 0>3 is written twice"),
        (around(A.replace("sep3", "sep7")), "edge 0>2: unknown operation 'sep7'; did you mean 'sep[35]'"),
        (around(A.replace("skip[0>3]", "skip@fa/lif[0>3]")), "edge 0>3: skip bears no weights"),
        (around(A, REDUCE.replace("skip@usf/lif[0>2]", "skip[0>2]")), "reduce, edge 0>2 has no rule"),
        (around(A.replace("@dfa", "@frs")), "unknown rule 'frs'; did you mean"),
        (around(A.replace("@dfa/lif", "@dfa")), "edge 1>3 has no neurons"),
        (around(A.replace("[1>3]", "[0>2]")), "edge 0>2 is written twice"),
        (around(A.replace("[1>3]", "[1>4]")), "two edges lead to node 3"),
        (around(A.replace("[1>3]", "[3>3]")), "two edges lead to node 3"),
        (around(A.replace("0>3", "0>5").replace("1>3", "1>5")), "without a gap"),
        (around(A.replace("pre0@usf/lif", "pre0@usf/lif[0>1]")), "pre0, pre1 have no edge"),
        (around(A).replace("cells=3", "cells=2"), "2 reductions need at least 3 cells"),
        (around(A).replace("channels", "chanels"), "did you mean 'channels'"),
        (
            around(A).replace("normal{", "middle{"),
            "darts has the cells stem, normal, reduce, readout, or cell1 to cell3",
        ),
        (around(A.replace("pre1@usf", "pre1@stdp")).replace("pre0@usf", "pre0@stdp"), "stem .*gets no error"),
        (around(A, REDUCE.replace("pre1@usf", "pre1@stdp")), "(cell2|cell1).* gets no error: cell3_pre1 .stdp. above"),
    ],
)
def test_a_wrong_genotype_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        SPACE.canonical(parse(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"ops": ["none"]}, "ops are skip, avg, max, sep3, sep5, dil3, dil5, not 'none'"),
        ({"rules_per": "layer"}, "rules_per is one of edge, position, cell"),
        ({"nodes": 5}, "nodes is at most 4"),
        ({"reductions": 4}, "reductions is at most 3"),
        ({"cells": [2]}, "2 reductions need at least 3 cells"),
        ({"rules": ["gradient"]}, "names no transport"),
        ({"rules": ["local", "local(pool=2)"]}, "heads of several pools are one"),
        ({"neurons": ["lfi"]}, "did you mean 'lif'"),
        ({"cell": [8]}, "did you mean 'cells'"),
    ],
)
def test_a_wrong_configuration_is_found_before_the_search(choices: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        spaces.build("darts", shape=(1, 8, 8), classes=10, choices=choices)
