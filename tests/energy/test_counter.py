"""The counter against two outside counters on binary inputs, and against brute force where they disagree."""

import itertools
import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurons.errors import UserError
from snn_nas import network
from snn_nas.energy.activity import DEFAULT, Activity, Conventions
from snn_nas.energy.connections import connections, fan_out
from snn_nas.energy.counter import Counter, count, counting
from snn_nas.genotype import Term, parse
from snn_nas.graph import Graph, Node, Synapse

GEOMETRIES = [
    {"c_in": 4, "c_out": 6, "kernel": k, "stride": s, "padding": p, "dilation": d, "groups": g}
    for k, s, p, d, g in itertools.product((1, 3), (1, 2, 3), (0, 1, 2), (1, 2), (1, 2))
] + [{"c_in": 4, "c_out": 4, "kernel": 5, "stride": 2, "padding": 2, "dilation": 1, "groups": 4}]


def brute_force(x: Tensor, synapse: Synapse) -> np.ndarray:
    """Visit every output, every tap of its kernel and every channel; `x` is [T, B, C, H, W], the result [T]."""
    T, _, _, H, W = x.shape
    _, rows, columns = synapse.out_shape(x.shape[2:])
    inside, outside = synapse.c_in // synapse.groups, synapse.c_out // synapse.groups
    total = np.zeros(T)
    for o, i, j in itertools.product(range(synapse.c_out), range(rows), range(columns)):
        for a, b, c in itertools.product(range(synapse.kernel), range(synapse.kernel), range(inside)):
            y = i * synapse.stride + a * synapse.dilation - synapse.padding
            z = j * synapse.stride + b * synapse.dilation - synapse.padding
            if 0 <= y < H and 0 <= z < W:
                total += x[:, :, o // outside * inside + c, y, z].sum(1).numpy()
    return total


def one_layer(synapse: Synapse, encoding: str, T: int, side: int, *, pool: int = 0) -> Graph:
    """Input, perhaps an average pool, and one readout."""
    nodes = [Node("input", "input", (), (synapse.c_in, side, side), encoding=encoding)]
    if pool:
        nodes.append(Node("pool", "avgpool", ("input",), (synapse.c_in, side // pool, side // pool), kernel=pool))
    shape = synapse.out_shape(nodes[-1].shape)
    nodes.append(Node("readout", "layer", (nodes[-1].name,), shape, synapse, Term("delta")))
    return Graph(tuple(nodes), T, 10)


def counted(graph: Graph, x: Tensor, conventions: Conventions = DEFAULT, static: bool = False) -> Activity:
    """Show a counter what the network would."""
    counter = Counter(graph, conventions)
    out = torch.zeros(graph.T, x.shape[0 if static else 1], 1)
    values = {"input": x}
    counter.see(graph["input"], [], x, static)
    if graph.nodes[1].op == "avgpool":
        values["pool"] = F.avg_pool2d(x.flatten(0, 1), graph.nodes[1].kernel).unflatten(0, x.shape[:2])
        counter.see(graph.nodes[1], [x], values["pool"], static)
    last = graph.nodes[-1]
    counter.see(last, [values[last.inputs[0]]], out, static)
    return counter.activity()


def spikes(T: int, B: int, C: int, side: int, seed: int = 0) -> Tensor:
    return (torch.rand(T, B, C, side, side, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def spikingjelly(module: nn.Module, x: Tensor) -> int:
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    counter = SynOpCounter()
    with torch.no_grad(), DispatchCounterMode([counter]):
        module(x)
    return int(counter.get_total())


def neurobench(module: nn.Module, x: Tensor) -> float:
    """Effective accumulations of a batch; it reports them divided by the batch."""
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    model = TorchModel(nn.Sequential(module))
    model.register_hooks()
    with torch.no_grad():
        out = model(x)
    found = SynapticOperations()(model, out, (x, torch.zeros(len(x))))
    model.close_hooks()
    assert found["Effective_MACs"] == 0
    return float(found["Effective_ACs"]) * len(x)


@pytest.mark.parametrize("geometry", GEOMETRIES[::5] + GEOMETRIES[-1:], ids=str)
def test_synaptic_operations_equal_brute_force(geometry: dict[str, int]) -> None:
    synapse = Synapse("conv", **geometry)
    x = spikes(2, 3, 4, 8)
    found = counted(one_layer(synapse, "poisson", 2, 8), x)["readout"]
    per_step = np.array(found.synops) * 3
    assert per_step.tolist() == brute_force(x, synapse).tolist()
    assert sum(found.macs) == 0


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_every_geometry_equals_spikingjelly(geometry: dict[str, int]) -> None:
    synapse = Synapse("conv", **geometry)
    x = spikes(3, 2, 4, 9, seed=1)
    conv = nn.Conv2d(*geometry.values(), bias=False)
    found = counted(one_layer(synapse, "poisson", 3, 9), x)
    assert round(found.total("synops") * 2) == spikingjelly(conv, x.flatten(0, 1))


@pytest.mark.parametrize("geometry", GEOMETRIES[::3], ids=str)
def test_every_geometry_equals_neurobench(geometry: dict[str, int]) -> None:
    pytest.importorskip("neurobench")
    synapse = Synapse("conv", **geometry)
    x = spikes(1, 4, 4, 9, seed=2)
    conv = nn.Conv2d(*geometry.values(), bias=False)
    found = counted(one_layer(synapse, "poisson", 1, 9), x)
    assert found.total("synops") * 4 == pytest.approx(neurobench(conv, x[0]), rel=1e-9)


def test_linear_layers_count_each_spike_once_for_every_neuron() -> None:
    graph = Graph(
        (
            Node("input", "input", (), (5, 2, 2), encoding="latency"),
            Node("flat", "flatten", ("input",), (20,)),
            Node("readout", "layer", ("flat",), (7,), Synapse("linear", 20, 7), Term("delta")),
        ),
        2,
        7,
    )
    x = spikes(2, 3, 5, 2)
    counter = Counter(graph)
    counter.see(graph["input"], [], x, False)
    counter.see(graph["flat"], [x], x.flatten(2), False)
    counter.see(graph["readout"], [x.flatten(2)], torch.zeros(2, 3, 7), False)
    assert counter.activity().total("synops") == pytest.approx(float(x.sum()) * 7 / 3)
    assert counter.activity().total("biases") == 14


def test_the_fan_out_map_of_ones_is_the_dense_count() -> None:
    for geometry in GEOMETRIES:
        synapse = Synapse("conv", **geometry)
        ones = torch.ones(1, 1, synapse.c_in, 7, 7)
        assert connections(synapse, (synapse.c_in, 7, 7)) == brute_force(ones, synapse).sum()
    strided = fan_out(Synapse("conv", 1, 1, 1, 2), (1, 4, 4))
    assert strided.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_graded_inputs_by_each_convention() -> None:
    """Where the outside counters contradict each other, the brute-force count is the oracle."""
    synapse = Synapse("conv", 4, 6, 3, 1, 1)
    graph, x = one_layer(synapse, "poisson", 2, 8, pool=2), spikes(2, 3, 4, 8)
    pooled = F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, (2, 3))
    events = counted(graph, x)
    assert np.allclose(np.array(events["readout"].macs) * 3, brute_force((pooled != 0).float(), synapse))
    assert events.total("synops") == 0
    units = counted(graph, x, Conventions(graded="units"))
    assert np.allclose(np.array(units["readout"].synops) * 3, brute_force(4 * pooled, synapse))
    dense = counted(graph, x, Conventions(graded="dense"))
    assert dense["readout"].macs == (connections(synapse, (4, 4, 4)),) * 2
    assert np.allclose(np.array(events["pool"].adds) * 3, x.sum((1, 2, 3, 4)))


def test_a_pool_drops_what_its_windows_do_not_cover() -> None:
    graph, x = one_layer(Synapse("conv", 4, 6), "poisson", 2, 9, pool=2), spikes(2, 3, 4, 9)
    assert sum(counted(graph, x)["pool"].adds) == pytest.approx(float(x[..., :8, :8].sum()) / 3)


def test_windows_that_overlap_count_what_they_share_again() -> None:
    x = spikes(2, 3, 4, 8)
    nodes = (
        Node("input", "input", (), (4, 8, 8), encoding="poisson"),
        Node("pool", "avgpool", ("input",), (4, 8, 8), kernel=3, stride=1, padding=1),
        Node("readout", "layer", ("pool",), (6, 8, 8), Synapse("conv", 4, 6), Term("delta")),
    )
    counter = Counter(Graph(nodes, 2, 10))
    averaged = F.avg_pool2d(x.flatten(0, 1), 3, 1, 1).unflatten(0, (2, 3))
    counter.see(nodes[0], [], x, False)
    counter.see(nodes[1], [x], averaged, False)
    counter.see(nodes[2], [averaged], torch.zeros(2, 3, 1), False)
    assert sum(counter.activity()["pool"].adds) == pytest.approx(float(averaged.sum()) * 9 / 3)


def test_event_frames_count_by_value_or_by_number() -> None:
    synapse = Synapse("conv", 4, 6, 3, 2, 1)
    x = spikes(2, 3, 4, 8) * torch.randint(1, 5, (2, 3, 4, 8, 8))
    graph = one_layer(synapse, "events", 2, 8)
    assert np.allclose(np.array(counted(graph, x)["readout"].macs) * 3, brute_force((x != 0).float(), synapse))
    found = counted(graph, x, Conventions(graded="units"))["readout"]
    assert np.allclose(np.array(found.synops) * 3, brute_force(x, synapse))


@pytest.mark.parametrize("image", [torch.ones(2, 4, 8, 8), torch.zeros(2, 4, 8, 8), torch.rand(2, 4, 8, 8)])
def test_an_analog_input_is_dense_whatever_it_holds(image: Tensor) -> None:
    graph = one_layer(Synapse("conv", 4, 6, 3, 1, 1), "direct", 3, 8)
    dense = connections(Synapse("conv", 4, 6, 3, 1, 1), (4, 8, 8))
    assert counted(graph, image, static=True)["readout"].macs == (dense, 0, 0)
    again = counted(graph, image, Conventions(static="every_step"), static=True)
    assert again["readout"].macs == (dense,) * 3
    assert again.total("synops") == 0


CHAIN = (
    "chain(T=3) { conv(c=6,down=avg)@bp/lif; sepconv(c=6,k=5,skip=1)@frsf/lif; conv(c=8,down=max)@frsf/if; "
    "readout@delta~usf }"
)


@pytest.fixture
def chain() -> network.Network:
    torch.manual_seed(0)
    net = network.build(parse(CHAIN), (3, 16, 16), 10)
    with torch.no_grad():
        for _ in range(20):  # running statistics, without which nothing fires
            net(torch.rand(16, 3, 16, 16))
    return net


def test_a_network_equals_a_count_by_hand(chain: network.Network) -> None:
    images = torch.rand(5, 3, 16, 16)
    seen: dict[str, tuple[Tensor, ...]] = {}
    chain.eval()
    handles = [
        layer.register_forward_hook(lambda _m, args, out, name=name: seen.__setitem__(name, (*args, out)))
        for name, layer in chain.layers.items()
    ]
    activity = count(chain, [images[:2], images[2:]])
    with torch.no_grad():
        chain(images)
    for handle in handles:
        handle.remove()
    assert activity.samples == 5
    for node in chain.graph.layers:
        x, *shortcuts, out = seen[node.name]
        done = activity[node.name]
        if node.neuron is not None:
            assert np.allclose(done.spikes, out.flatten(1).sum(1) / 5)
            assert done.rate == pytest.approx(float(out.mean()))
        if node.name in ("layer1", "readout"):
            continue
        hits = brute_force((x != 0).float(), node.synapse) / 5
        assert np.allclose(np.array(done.synops) + np.array(done.macs), hits)
        assert np.allclose(done.adds, sum((s != 0).flatten(1).sum(1) / 5 for s in shortcuts) if shortcuts else 0)
    assert activity["layer2_depthwise"].signal == "graded"
    assert activity["layer3"].signal == "spike"
    assert 0 < activity.mean_rate < 1


def test_counting_changes_nothing_and_watches_whoever_runs(chain: network.Network) -> None:
    chain.train()
    images = torch.rand(4, 3, 16, 16)
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    count(chain, [images])
    assert chain.training
    assert all(torch.equal(value, before[name]) for name, value in chain.state_dict().items())
    chain.eval()
    with torch.no_grad(), counting(chain) as counter:
        chain(images)
        chain(images)
    with torch.no_grad():
        chain(images)
    assert counter.samples == 8
    assert counter.activity() == count(chain, [images, images])


def test_an_activity_survives_json(chain: network.Network) -> None:
    activity = count(chain, [torch.rand(3, 3, 16, 16)])
    record = json.loads(json.dumps(activity.to_json()))
    assert Activity.from_json(record) == activity
    for broken in ({**record, "schema": "other"}, {**record, "more": 1}, {"schema": record["schema"]}):
        with pytest.raises(UserError):
            Activity.from_json(broken)
    record["nodes"][0]["spikes"] = [1.0]
    with pytest.raises(UserError, match="each time step"):
        Activity.from_json(record)


def test_silence_costs_only_what_no_spike_causes(chain: network.Network) -> None:
    activity = count(chain, [torch.rand(3, 3, 16, 16)])
    silent = activity.scaled(0.0)
    assert silent.total("synops") == 0
    assert silent.total("macs") == activity["layer1"].macs[0]
    assert silent.total("biases") == activity.total("biases")
    assert activity.scaled(2.0).total("synops") == pytest.approx(2 * activity.total("synops"))


@pytest.mark.parametrize(
    ("encoding", "macs"), [("whiten", 3 * 256 * 3 * 25), ("onoff", 3 * 256 * 2 * (7 + 13)), ("poisson", 0)]
)
def test_an_encoding_that_computes_is_counted(encoding: str, macs: int) -> None:
    net = network.build(parse(CHAIN.replace("T=3", f"T=3,encoding={encoding}")), (3, 16, 16), 10)
    net.encoding.fit(torch.rand(8, 3, 16, 16))
    activity = count(net, [torch.rand(2, 3, 16, 16)])
    assert sum(node.macs[0] for node in activity.nodes if node.op == "input") == macs
    assert Activity.from_json(activity.to_json()) == activity


def test_an_unknown_convention_is_one_line() -> None:
    with pytest.raises(UserError, match="graded is one of events, units, dense"):
        Conventions(graded="some")  # type: ignore[arg-type]
