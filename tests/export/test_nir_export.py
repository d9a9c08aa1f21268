"""The exported model computes what was scored, spike for spike: in our interpreter, in SpikingJelly and in snnTorch.

What is compared with is the folded network, which is the one that is scored. Three proofs:

- Where every convolution is an ordinary one, the file's convolutions are the network's own, and no spike may differ.
- In float64 none may differ at all, groups and residual sums included: the formulas are the same.
- In float32 a grouped convolution and the dense one that it becomes add up in another order, and so does snnTorch's
  beta v + x where our neurons take v - v / tau + x. A spike that differs must be one whose potential was within that
  rounding of its threshold.
"""

import contextlib
import errno
import io
import os
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neurons.errors import UserError
from snn_nas.data import load
from snn_nas.export.check import mismatches, spikes
from snn_nas.export.euler import encoded, run
from snn_nas.export.folding import folded
from snn_nas.export.nir_export import outlook, save_nir, to_nir
from snn_nas.genotype import Term
from snn_nas.graph import Graph, Node, Synapse
from snn_nas.network import Network
from snn_nas.training import Training, train
from tests.export.conftest import Make

BODY = (
    "chain(T=4) {{ conv(c=8,down=avg)@bp/{n}; sepconv(c=8,k=5,skip=1)@frsf/{n}; conv(c=12,down=stride)@frsf/{n}; "
    "readout(grid=2)@delta~usf }}"
)
ORDINARY = "chain(T=4) {{ conv(c=8,down=avg)@bp/{n}; conv(c=12,down=stride)@frsf/{n}; readout(grid=2)@delta~usf }}"
NEURONS = [
    "lif(reset=hard)", "lif(reset=hard,tau=3.0)", "lif(reset=hard,decay_input=false,threshold=1.5)",
    "if(reset=hard)", "plif(reset=hard)", "plif(reset=hard,tau=5.0,decay_input=false)",
]  # fmt: skip


ROUNDING = 2e-6
"""How far from its threshold rounding can move a potential of about 1."""


@torch.no_grad()
def margins(network: Network, images: Tensor) -> dict[str, Tensor]:
    """How far each population's potential was from its threshold, `[T, B, ...]` by layer."""
    found: dict[str, Tensor] = {}

    def step_through(name: str) -> Callable[..., None]:
        def hook(population: nn.Module, args: tuple[Tensor, int | None], _out: Tensor) -> None:
            current, steps = args
            state, seen = None, []
            for x in current if steps is None else [current] * steps:
                _, state = population.step(x, state)
                seen.append(state.u.abs())
            found[name] = torch.stack(seen)

        return hook

    handles = [
        layer.population.register_forward_hook(step_through(name))
        for name, layer in network.layers.items()
        if layer.population is not None
    ]
    network(images)
    for handle in handles:
        handle.remove()
    return found


def unexplained(network: Network, images: Tensor, found: dict[str, Tensor]) -> dict[str, int]:
    """Neurons whose first differing spike rounding does not explain: all was equal below, and their threshold far."""
    expected, away = spikes(network, images), margins(network, images)
    changed = torch.zeros(len(images), dtype=torch.bool)
    counts = {}
    for name, ours in expected.items():
        differs = found[name] != ours
        first = differs & (differs.cumsum(0) == 1)
        counts[name] = int((first & (away[name] > ROUNDING))[:, ~changed].sum())
        changed |= differs.transpose(0, 1).flatten(1).any(1)
    return counts


def steps_of(module: nn.Module, inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Run an imported model step by step, and keep what its neurons sent."""
    kept: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _m, _a, out: kept.setdefault(name, []).append(out[0] if isinstance(out, tuple) else out)

    for name, child in module.named_children():
        if name.endswith("_neurons"):
            child.register_forward_hook(keep(name.removesuffix("_neurons")))
    state, outs = None, []
    with torch.no_grad():
        for x in inputs:
            out, state = module(x, state)
            outs.append(out)
    return {name: torch.stack(values) for name, values in kept.items()}, torch.stack(outs)


def into_spikingjelly(path: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(str(path), dtype=dtype).eval()


def into_snntorch(path: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    from snntorch.import_nir import import_from_nir

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # in which it takes over the weights
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            module: nn.Module = import_from_nir(nir.read(path)).eval()
    finally:
        torch.set_default_dtype(before)
    for child in module.children():  # its spikes are float32 whatever it computes in
        child.register_forward_pre_hook(lambda _m, args: tuple(x.to(dtype) if torch.is_tensor(x) else x for x in args))
    return module.to(dtype)


READERS = {"spikingjelly": into_spikingjelly, "snntorch": into_snntorch}


@pytest.mark.parametrize("neuron", NEURONS)
def test_no_spike_differs_where_nothing_is_added_up_in_another_order(make: Make, tmp_path: Path, neuron: str) -> None:
    network, images = folded(make(ORDINARY.format(n=neuron))), torch.rand(100, 3, 12, 12)
    save_nir(network, tmp_path / "net.nir")
    expected, inputs = spikes(network, images), encoded(network, images)
    assert all(0 < sent.mean() < 1 for sent in expected.values())
    seen = run(nir.read(tmp_path / "net.nir"), inputs)
    found = {"euler": {name: seen[f"{name}_neurons"] for name in expected}}
    found["spikingjelly"], _ = steps_of(into_spikingjelly(tmp_path / "net.nir"), inputs)
    if not neuron.startswith("if") and "decay_input=false" not in neuron:
        found["snntorch"], _ = steps_of(into_snntorch(tmp_path / "net.nir"), inputs)
    for reader, sent in found.items():
        assert {name: int((sent[name] != own).sum()) for name, own in expected.items()} == dict.fromkeys(expected, 0), (
            reader
        )


def test_a_full_disk_is_one_line(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*net\.nir: No space left on device"):
        save_nir(make(ORDINARY.format(n="lif")), tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("reader", READERS)
def test_round_trip(make: Make, tmp_path: Path, reader: str, neuron: str) -> None:
    network, images = folded(make(BODY.format(n=neuron))), torch.rand(100, 3, 12, 12)
    save_nir(network, tmp_path / "net.nir")
    if reader == "snntorch" and neuron.startswith("if"):
        with pytest.raises(AssertionError, match="not supported"):  # it would read IF as a leaky neuron
            READERS[reader](tmp_path / "net.nir")
        return
    found, outs = steps_of(READERS[reader](tmp_path / "net.nir"), encoded(network, images))
    assert all(0 < sent.mean() < 1 for sent in spikes(network, images).values())
    assert set(unexplained(network, images, found).values()) == {0}
    same = torch.stack([(found[n] == s).transpose(0, 1).flatten(1).all(1) for n, s in spikes(network, images).items()])
    assert same.all(0).float().mean() >= 0.97
    with torch.no_grad():
        assert (outs - network(images))[:, same.all(0)].abs().max() < 1e-4


@pytest.mark.parametrize("neuron", [*NEURONS, *(n.replace("reset=hard", "reset=soft") for n in NEURONS)])
def test_euler_gives_the_same_spikes(make: Make, tmp_path: Path, neuron: str) -> None:
    network, images = folded(make(BODY.format(n=neuron))), torch.rand(100, 3, 12, 12)
    save_nir(network, tmp_path / "net.nir")
    seen = run(nir.read(tmp_path / "net.nir"), encoded(network, images))
    names = ("layer1", "layer2_depthwise", "layer2_pointwise", "layer3")
    found = unexplained(network, images, {name: seen[f"{name}_neurons"] for name in names})
    assert found == dict.fromkeys(names, 0)


@pytest.mark.parametrize("neuron", [NEURONS[1], NEURONS[3], NEURONS[5], "lif(reset=soft,tau=3.0)"])
def test_in_float64_every_spike_is_equal(make: Make, tmp_path: Path, neuron: str) -> None:
    """So that what differs in float32 is rounding, and no formula; the network that was not folded included."""
    raw = make(BODY.format(n=neuron)).double()
    network, images = folded(raw), torch.rand(100, 3, 12, 12, dtype=torch.float64)
    save_nir(network, tmp_path / "net.nir")
    expected = spikes(network, images)
    assert all(torch.equal(sent, expected[name]) for name, sent in spikes(raw, images).items())
    seen = run(nir.read(tmp_path / "net.nir"), encoded(network, images))
    assert all(torch.equal(seen[f"{name}_neurons"], sent) for name, sent in expected.items())
    if "soft" in neuron:
        return
    found, _ = steps_of(into_spikingjelly(tmp_path / "net.nir", torch.float64), encoded(network, images))
    assert all(torch.equal(found[name], sent) for name, sent in expected.items())
    if not neuron.startswith("if"):
        found, _ = steps_of(into_snntorch(tmp_path / "net.nir", torch.float64), encoded(network, images))
        assert all(torch.equal(found[name], sent) for name, sent in expected.items())


def test_the_file_holds_the_scored_weights_to_the_last_bit(make: Make) -> None:
    network = make(BODY.format(n="plif(reset=hard)"))
    graph, scored = to_nir(network), folded(network)
    for name, layer in scored.layers.items():
        assert np.array_equal(graph.nodes[name].bias, layer.synapse.bias.detach().numpy())
        if name != "layer2_depthwise":  # groups are filled with zeros
            assert np.array_equal(graph.nodes[name].weight, layer.synapse.weight.detach().numpy())
    assert graph.nodes["layer1"].weight.dtype == np.float32


def test_a_trained_network_scores_the_same() -> None:
    data = load("digits")
    torch.manual_seed(0)
    from snn_nas import network as networks
    from snn_nas.genotype import parse

    text = "chain(T=4) { conv(c=8,down=avg)@frsf/lif(reset=hard); conv(c=16)@frsf/lif(reset=hard); readout@delta~usf }"
    network = networks.build(parse(text), data.shape, data.classes, normalise=data.normalise)
    train(network, data, Training(epochs=2), seed=0)
    network = folded(network)
    images = next(data.validation.batches(100))[0]
    graph = to_nir(network)
    with torch.no_grad():
        assert torch.equal(
            run(graph, encoded(network, images))["output"].mean(0).argmax(1), network(images).mean(0).argmax(1)
        )
    assert sum(mismatches(network, graph, images).values()) == 0


@pytest.mark.parametrize("encoding", ["poisson", "latency", "onoff", "whiten"])
def test_codes_are_made_outside(make: Make, encoding: str) -> None:
    network = make(f"chain(T=3,encoding={encoding}) {{ conv(c=8)@frozen/lif(reset=hard); readout@delta }}")
    graph = to_nir(network)
    assert graph.metadata["input"] == f"encoded:{encoding}"
    assert sum(mismatches(network, graph, torch.rand(20, 3, 12, 12)).values()) <= 1


def test_padding_stays_what_it_was(make: Make) -> None:
    """A mean folded into the first bias would be wrong at the border, where zero stands for the mean."""
    network = make("chain(T=2) { conv(c=6,k=5)@frozen/lif(reset=hard); readout@delta }")
    graph = to_nir(network)
    assert isinstance(graph.nodes["normalise"], nir.Conv2d)
    images = torch.rand(10, 3, 12, 12)
    with torch.no_grad():
        layer = network.layers["layer1"]
        current = layer.norm(layer.synapse(network.normalise(images)))
    assert torch.allclose(run(graph, images.unsqueeze(0))["layer1"][0], current, atol=1e-4)


def test_the_threshold_is_reached_to_the_last_bit(tmp_path: Path) -> None:
    """NIR fires above its threshold, SpikingJelly and we at it: one float32 number either way is the difference."""
    neuron = Term.of("if", reset="hard")
    nodes = (
        Node("input", "input", (), (1, 1, 1), encoding="direct"),
        Node("a", "layer", ("input",), (1, 1, 1), Synapse("conv", 1, 1), Term("frozen"), "none", neuron),
        Node("flat", "flatten", ("a",), (1,)),
        Node("readout", "layer", ("flat",), (2,), Synapse("linear", 1, 2), Term("delta")),
    )
    network = Network(Graph(nodes, 1, 2)).eval()
    with torch.no_grad():
        network.layers["a"].norm.eps = 0.0
        network.layers["a"].synapse.weight.fill_(1.0)
    images = torch.tensor([1.0, 0.99999994, 1.0000001]).view(3, 1, 1, 1)
    graph = to_nir(network, dt=0.5)
    assert mismatches(network, graph, images, dt=0.5) == {"a": 0}
    assert spikes(network, images)["a"].flatten().tolist() == [1, 0, 1]
    assert np.float32(graph.nodes["a_neurons"].v_threshold.item()) == 1.0
    save_nir(network, tmp_path / "net.nir")
    assert steps_of(into_spikingjelly(tmp_path / "net.nir"), images[None])[0]["a"].flatten().tolist() == [1, 0, 1]


def test_residual_sums_become_edges(make: Make) -> None:
    graph = to_nir(make(BODY.format(n="lif(reset=hard)")))
    assert ("layer1_pool", "layer2_pointwise_neurons") in graph.edges
    assert ("layer2_pointwise", "layer2_pointwise_neurons") in graph.edges
    assert graph.nodes["layer2_depthwise"].weight.shape == (8, 8, 5, 5)
    assert graph.nodes["layer2_depthwise"].groups == 1


def test_what_the_file_says(make: Make, tmp_path: Path) -> None:
    network = make(BODY.format(n="lif"))
    save_nir(network, tmp_path / "net.nir")
    metadata = nir.read(tmp_path / "net.nir").metadata
    assert metadata["genotype"] == str(network.genotype)
    assert (int(metadata["T"]), float(metadata["dt"]), metadata["input"]) == (4, 1e-4, "pixels")
    assert [path.name for path in tmp_path.iterdir()] == ["net.nir"]


def test_soft_reset_is_refused_by_readers_rather_than_misread(make: Make, tmp_path: Path) -> None:
    save_nir(make(BODY.format(n="lif(reset=soft)")), tmp_path / "net.nir")
    for read in READERS.values():
        with pytest.raises(Exception, match=r"(?i)unknown node type"):
            read(tmp_path / "net.nir")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chain(T=2) { conv(c=4,down=max)@frozen/lif; readout@delta }", "layer1_pool is a max pool"),
        ("chain(T=2) { conv(c=4)@frozen/lif; conv(c=4)@frozen/alif; readout@delta }", "layer2 has alif neurons"),
    ],
)
def test_what_cannot_be_said_is_named(make: Make, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_nir(make(text))


def test_what_to_expect_of_the_file_is_said_before(make: Make) -> None:
    assert outlook(make(BODY.format(n="lif(reset=hard)")).graph) == "exportable"
    assert "few readers know the soft reset of layer1" in outlook(make(BODY.format(n="if")).graph)
    pooled = make("chain(T=2) { conv(c=4,down=max)@frozen/lif; readout@delta }")
    assert outlook(pooled.graph).startswith("not exportable: layer1_pool is a max pool")


def test_a_directory_that_is_not_there(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write"):
        save_nir(make(BODY.format(n="lif")), tmp_path / "none" / "net.nir")
