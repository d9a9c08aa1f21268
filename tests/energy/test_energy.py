"""Energies against sums by hand, the learning energy of bp against SpikingJelly's NeuroMC, and the rate twin."""

import dataclasses

import pytest
import torch
from torch import nn

from neurons.errors import UserError
from rules.predsim import summary
from snn_nas import network
from snn_nas.credit import check
from snn_nas.data import load
from snn_nas.energy.activity import Activity
from snn_nas.energy.counter import Counter, count
from snn_nas.energy.inference import inference_energy
from snn_nas.energy.learning import learning_energy, similarity_features, work
from snn_nas.energy.memory import accesses
from snn_nas.energy.objectives import measure
from snn_nas.energy.profile import profile, profiles
from snn_nas.energy.tables import by_profile
from snn_nas.energy.twin import compare, twin_bits, twin_energy
from snn_nas.genotype import Term, parse
from snn_nas.graph import Graph, Node, Synapse, size
from snn_nas.search.objective import OBJECTIVES
from snn_nas.spaces import graph
from tests.contracts.profile import busy, tiny


def test_arithmetic_alone_by_hand() -> None:
    g = tiny()
    energy = inference_energy(busy(g), g, profile("45nm_fp32"))
    # analog: 1000 MACs, 20 biases, 60 resets; 2 * 4 * 64 neurons leak
    assert energy.pJ["layer1"] == pytest.approx({"operations": 4600 + 80 * 0.9, "leak": 512 * 3.7, "communication": 0})
    assert energy.pJ["readout"] == pytest.approx({"operations": 560 * 0.9, "leak": 0, "communication": 0})
    assert energy.missing == ("memory",)


def test_integrate_and_fire_does_not_leak() -> None:
    g = check(graph(parse("chain(T=2) { conv(c=4)@frozen/if; readout@delta }"), (1, 8, 8), 10)).graph
    assert inference_energy(busy(g), g, profile("45nm_fp32")).by_cause["leak"] == 0


def test_a_chip_by_hand() -> None:
    g = tiny()
    loihi = inference_energy(busy(g), g, profile("loihi"))
    assert loihi.pJ["layer2"] == pytest.approx({"operations": 540 * 23.6, "leak": 512 * 81, "communication": 60 * 3.5})
    odin = inference_energy(busy(g), g, profile("odin"))
    assert odin.missing == ("neuron updates", "communication")
    assert "without neuron updates" in str(odin)


def test_lemaires_accesses_by_hand() -> None:
    g = tiny()
    done = busy(g)["layer2"]
    found = accesses(g["layer2"], done, g.T)
    # 60 spikes in, a fan-out of 4 * 9, 256 neurons in 2 steps
    assert dataclasses.astuple(found) == (60, 2160, 20, 2160 + 512, 60, 120, 2160)
    p = profile("lemaire")
    energy = inference_energy(busy(g), g, p).pJ["layer2"]
    words = 60 * p.access(256) + 2160 * p.access(144) + 20 * p.access(4) + 2 * 2672 * p.access(256) + 60 * p.access(256)
    assert energy["memory"] == pytest.approx(words)
    assert energy["addressing"] == pytest.approx(120 * 3.2 + 2160 * 0.1)


def _bp_graph() -> Graph:
    """Two convolutions without padding and a linear readout, so that every outside count of MACs is exact."""
    nodes = (
        Node("input", "input", (), (3, 9, 9), encoding="poisson"),
        Node("a", "layer", ("input",), (8, 7, 7), Synapse("conv", 3, 8, 3), Term("gradient"), "exact", Term("lif")),
        Node("b", "layer", ("a",), (6, 3, 3), Synapse("conv", 8, 6, 3, 2), Term("gradient"), "exact", Term("lif")),
        Node("flat", "flatten", ("b",), (54,)),
        Node("readout", "layer", ("flat",), (10,), Synapse("linear", 54, 10), Term("delta"), "exact"),
    )
    return check(Graph(nodes, 4, 10)).graph


def test_learning_by_bp_counts_what_neuromc_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.op_counter.neuromc import core

    # It prices a convolution's backward pass from the module, and then refuses torch's name for that operation.
    known = core._AUXILIARY_ATEN_OPS | {"aten.neg.default", "aten.convolution_backward.default"}
    monkeypatch.setattr(core, "_AUXILIARY_ATEN_OPS", known)
    net = nn.Sequential(
        layer.Conv2d(3, 8, 3, bias=False), neuron.LIFNode(), layer.Conv2d(8, 6, 3, stride=2, bias=False),
        neuron.LIFNode(), layer.Flatten(), layer.Linear(54, 10, bias=False),
    )  # fmt: skip
    functional.set_step_mode(net, "m")
    report = core.estimate_neuromc_runtime_energy(
        net,
        (torch.rand(4, 1, 3, 9, 9) < 0.3).float().requires_grad_(),
        target=torch.randn(4, 1, 10),
        loss_fn=lambda out, target: (out * target).sum(),
        optimizer=torch.optim.SGD(net.parameters(), 0.1),
    )
    theirs = {
        (entry["op_name"], entry["loop_dims"]["C"]): entry["mac_count"]
        for entry in report.mapping_summary
        if entry["source"] == "module"
    }
    torch.manual_seed(0)
    ours = network.Network(_bp_graph())
    activity = count(ours, [torch.rand(1, 3, 9, 9)])
    done = {node.name: work(ours.graph, node, activity[node.name]) for node in ours.graph.layers}
    assert done["b"].error == theirs["conv.backward.grad_input", 8]
    assert done["b"].update == theirs["conv.backward.grad_weight", 8]
    assert done["a"].update == theirs["conv.backward.grad_weight", 3]
    assert done["a"].error == 0  # nothing below needs it; the outside count carries it on to the image
    # Our readout learns from the mean over time: the error is the same at every step, and is carried once.
    assert 4 * done["readout"].error == theirs["linear.backward.grad_input", 54]
    assert 4 * done["readout"].update == theirs["linear.backward.grad_weight", 54]
    totals = report.primitive_counts["by_op"]
    assert done["a"].neuron_mults + done["b"].neuron_mults == totals["soma.backward"]["mul"]
    assert done["a"].neuron_adds + done["b"].neuron_adds == totals["soma.backward"]["add"]
    assert sum(each.writes for each in done.values()) == totals["sgd"]["mul"]


def _learning(rules: str) -> float:
    g = check(graph(parse(rules), (1, 8, 8), 10)).graph
    return learning_energy(busy(g), g, profile("45nm_fp32")).total_uJ


def test_learning_is_priced_by_the_rule() -> None:
    def text(rule: str) -> str:
        return f"chain(T=2) {{ conv(c=4)@{rule}/lif; conv(c=4,down=avg)@{rule}/lif; readout(grid=4)@delta~usf }}"

    cost = {rule: _learning(text(rule)) for rule in ("bp", "frsf", "dfa", "local", "stdp", "frozen")}
    assert cost["bp"] == cost["frsf"] < _learning(text("kp"))  # whose feedback is written too
    assert cost["frozen"] < cost["stdp"] < cost["bp"]
    assert cost["dfa"] < cost["bp"] + 0.1
    g = tiny()
    assert cost["frozen"] > inference_energy(busy(g), g, profile("45nm_fp32")).total_uJ  # the readout learns


def test_what_is_learned_at_one_position_costs_no_others() -> None:
    g = check(graph(parse("chain(T=2) { conv(c=4)@hippo/lif; readout(grid=4)@delta }"), (1, 8, 8), 10)).graph
    layer = g["layer1"]
    assert layer.synapse is not None
    per_weight = layer.pair.declaration.dataflow.update_macs_weights
    assert work(g, layer, busy(g)["layer1"]).update == per_weight * 4 * 9 * 2


def test_storing_all_steps_costs_memory() -> None:
    g = tiny()
    assert work(g, g["layer2"], busy(g)["layer2"]).stored == 512
    priced = learning_energy(busy(g), g, profile("lemaire"))
    assert priced.by_cause["memory"] > inference_energy(busy(g), g, profile("lemaire")).by_cause["memory"]


def test_a_broadcast_is_paid_for_as_often_as_it_is_sent() -> None:
    """Once a sample; at each of four steps by an online rule; and as much again for a matrix that learns.

    Where the 64 positions of a channel share what they are told, it is sent to the channel.
    """
    found = {}
    rules = ("dfa", "dfa(feedback=learned)", "eprop(feedback=random)", "eprop", "local", "dfa(feedback=shared)")
    for rule in rules:
        g = check(graph(parse(f"chain(T=4) {{ conv(c=4)@{rule}/lif; readout(grid=4)@delta }}"), (1, 8, 8), 10)).graph
        found[rule] = work(g, g["layer1"], busy(g)["layer1"]).broadcast / size(g["layer1"].shape)
    assert list(found.values()) == [10, 20, 40, 80, 0, 10 / 64]


@pytest.mark.parametrize(("layer", "features"), [("conv(c=4)", 4 * 2 * 2), ("linear(c=6)", 6)])
def test_samples_are_compared_in_the_numbers_that_the_rule_compares(layer: str, features: int) -> None:
    """By hand: 3 x 64 products of each number, and 3 N for deviations, which a vector has not."""
    rules = f"chain(T=4) {{ {layer}@predsim/lif; readout@delta }}"
    g = check(graph(parse(rules), (1, 8, 8), 10)).graph
    node = g["layer1"]
    assert similarity_features(node) == features == summary(torch.zeros(1, *node.shape)).shape[1]
    done, other = (work(each, each["layer1"], busy(each)["layer1"]) for each in (g, _under_local(rules)))
    assert done.similarity == 192 * features + (3 * 4 * 8 * 8 if layer.startswith("conv") else 0)
    assert done.macs - other.macs == done.similarity
    extra = _learning(rules) - _learning(rules.replace("predsim", "local"))
    assert extra == pytest.approx(done.similarity * 4.6e-6)


def _under_local(rules: str) -> Graph:
    return check(graph(parse(rules.replace("predsim", "local")), (1, 8, 8), 10)).graph


def test_a_chip_without_a_figure_for_learning_says_so() -> None:
    g = tiny()
    assert "learning updates" in learning_energy(busy(g), g, profile("odin")).missing
    assert "learning updates" not in learning_energy(busy(g), g, profile("loihi")).missing


@pytest.mark.parametrize(("T", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 3), (8, 4), (16, 5)])
def test_the_twin_has_as_many_bits_as_a_count_needs(T: int, bits: int) -> None:
    assert twin_bits(T) == bits


@pytest.mark.parametrize("name", ["45nm_fp32", "45nm_int8", "lemaire"])
def test_the_verdict_turns_where_it_says(name: str) -> None:
    g, p = tiny(), profile(name)
    activity = busy(g)
    found = compare(activity, g, p)
    assert name in found.verdict
    assert found.twin_uJ == twin_energy(activity, g, p).total_uJ
    if found.turning_rate is not None:
        for factor in (0.99, 1.01):
            scaled: Activity = activity.scaled(factor * found.turning_rate / activity.mean_rate)
            assert compare(scaled, g, p).winner == ("spiking" if factor < 1 else "rate")


def test_the_twin_pays_for_all_that_the_spiking_network_pays_for() -> None:
    """Its pools, shortcuts and whitening too, or the comparison would favour it."""
    text = (
        "chain(T=3,encoding=whiten) { conv(c=4,down=max)@frozen/lif; conv(c=4,skip=1)@frozen/lif; "
        "readout(grid=2)@delta }"
    )
    g = check(graph(parse(text), (3, 8, 8), 10)).graph
    torch.manual_seed(0)
    built = network.build(parse(text), (3, 8, 8), 10)
    built.encoding.fit(torch.rand(8, 3, 8, 8))
    activity, p = count(built, [torch.rand(2, 3, 8, 8)]), profile("45nm_fp32")
    twin, spiking = twin_energy(activity, g, p), inference_energy(activity, g, p)
    assert set(twin.pJ) == set(spiking.pJ)
    assert twin.pJ["input"]["operations"] == spiking.pJ["input"]["operations"] == 3 * 64 * 3 * 25 * 4.6
    assert twin.pJ["layer1_pool"]["operations"] == pytest.approx(4 * 64 * 0.9)  # every pixel is in one window
    narrow = 0.9 + 3.7 * 2 / 32
    dense = activity["layer2"].connections * narrow + (64 + 64) * 0.9  # 4x4x4 biases, and as many shortcuts
    assert twin.pJ["layer2"]["operations"] == pytest.approx(dense)


def test_where_nothing_fires_no_turning_rate_is_claimed() -> None:
    g, p = tiny(), profile("45nm_fp32")
    silent = Activity(tuple(dataclasses.replace(node, neurons=0) for node in busy(g).scaled(0.0).nodes), g.T, 1)
    found = compare(silent, g, p)
    assert (found.winner, found.turning_rate) == ("spiking", None)
    assert "fires nothing" in found.verdict
    assert "no firing rate would turn that" in compare(busy(g).scaled(0.0), g, p).verdict  # it leaks more than that


def test_lemaires_model_equals_spikingjellys() -> None:
    """Its estimator has the same formulas; what it does otherwise is named here, and in docs/energy.md."""
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.op_counter import estimate_lemaire_energy

    g, T = _bp_graph(), 4
    torch.manual_seed(0)
    ours = network.Network(g).eval()
    theirs = nn.Sequential(
        layer.Conv2d(3, 8, 3, step_mode="m"), neuron.LIFNode(step_mode="m"),
        layer.Conv2d(8, 6, 3, stride=2, step_mode="m"), neuron.LIFNode(step_mode="m"),
        layer.Flatten(step_mode="m"), layer.Linear(54, 10, step_mode="m"),
    )  # fmt: skip
    x = (torch.rand(T, 1, 3, 9, 9) < 0.3).float()
    seen: dict[str, torch.Tensor] = {}
    for name, at in (("a", 1), ("b", 3)):
        theirs[at].register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
    for parameter in theirs.parameters():
        parameter.data.abs_()  # so that it fires
    report = estimate_lemaire_energy(theirs, x, config=_lenient())
    counter = Counter(g)
    zero = torch.zeros(T, 1, 10)
    counter.see(g["input"], [], x, False)
    counter.see(g["a"], [x], seen["a"], False)
    counter.see(g["b"], [seen["a"]], seen["b"], False)
    counter.see(g["flat"], [seen["b"]], seen["b"].flatten(2), False)
    counter.see(g["readout"], [seen["b"].flatten(2)], zero, False)
    activity = counter.activity()
    assert 0 < activity["a"].rate < 1
    found = [accesses(node, activity[node.name], T) for node in g.layers]
    # A word has four bytes. Their readout has no potential, ours keeps one for its current.
    readout = T * 10
    assert 4 * sum(each.read_input for each in found) == report.counts["read_in_bytes"]
    assert 4 * sum(each.read_weights + each.read_bias for each in found) == report.counts["read_params_bytes"]
    assert 4 * (sum(each.potentials for each in found) - readout) == report.counts["read_potential_bytes"]
    assert 4 * sum(each.write_output for each in found) == report.counts["write_out_bytes"]
    assert sum(each.address_adds for each in found) == report.counts["acc_addr"]
    assert sum(each.address_macs for each in found) == report.counts["mac_addr"]
    assert ours.graph.T * sum(node.neurons for node in activity.layers) == report.counts["mac"]  # the leak
    biases = sum(sum(each.biases) for each in activity.layers)
    published = activity.total("events") and report.counts["ac"] - biases - activity.total("spikes")
    assert published == report.counts["synop"]
    # Equal without borders and stride; ceil(k / stride) of a strided layer is more than it has.
    strided = sum(activity["b"].events) * 6 * 4 - sum(activity["b"].synops)
    borders = sum(activity["a"].events) * 8 * 9 - sum(activity["a"].synops)
    assert report.counts["synop"] == activity.total("synops") + strided + borders


def _lenient() -> object:
    from spikingjelly.activation_based.op_counter import LemaireEnergyConfig

    return LemaireEnergyConfig(strict=False)


def test_no_twin_on_a_chip() -> None:
    g = tiny()
    with pytest.raises(UserError, match="rate twin"):
        compare(busy(g), g, profile("loihi"))


def test_the_table_of_profiles_names_what_it_lacks() -> None:
    g = tiny()
    rows = {row["profile"]: row for row in by_profile(busy(g), g)}
    assert set(rows) == set(profiles())
    assert rows["loihi2"]["inference_uJ"] is None
    assert rows["odin"]["learning_uJ"] is None
    assert rows["lemaire"]["inference_uJ"] == inference_energy(busy(g), g, profile("lemaire")).total_uJ
    with pytest.raises(UserError):
        by_profile(busy(g), g, ["none"])


def test_measure_reports_the_objectives() -> None:
    data = load("digits")
    torch.manual_seed(0)
    text = "chain(T=2) { conv(c=8,down=avg)@frsf/lif; readout(grid=4)@delta~usf }"
    net = network.build(parse(text), data.shape, data.classes, normalise=data.normalise)
    found = measure(net, data.validation, samples=50)
    assert {"energy_uJ", "learning_energy_uJ", "synops", "parameters", "T", "locality"} <= set(found) & set(OBJECTIVES)
    assert found["learning_energy_uJ"] > found["energy_uJ"] > 0
    assert found["T"] == 2
    assert "learning_energy_uJ" not in measure(net, data.validation, "odin", samples=50)
    with pytest.raises(UserError, match="loihi2"):
        measure(net, data.validation, "loihi2", samples=50)
