"""What deep networks are trained with: drop-path, auxiliary heads, gradient checkpointing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from benchmarks.memory import peak
from snn_nas import auxiliary
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.checkpoint import Checkpoint
from snn_nas.compiling import Compiled
from snn_nas.drop_path import paths
from snn_nas.genotype import parse
from snn_nas.learning import learn
from snn_nas.network import Network
from snn_nas.recompute import recomputed
from snn_nas.training import train
from snn_nas.training_settings import Training

NB201 = (
    "nb201(T=2,cells=1,channels=4,stages=1) stem{ conv@usf/lif } "
    "cell{ conv1@usf/lif[0>1]; conv3@usf/lif[0>2]; skip[0>3]; avg[1>3]; conv1@usf/lif[2>3] } "
    "readout{ readout(grid=2)@delta~usf }"
)
CELL = "pre0@usf/lif; pre1@usf/lif; skip[0>2]; dil3@usf/lif[1>2]; avg[0>3]; skip[2>3]"
DARTS = (
    f"darts(T=2,cells=4,channels=2,reductions=1,stack=1) stem{{ conv@usf/lif }} normal{{ {CELL} }} "
    "reduce{ pre0@usf/lif; pre1@usf/lif; avg[0>2]; dil3@usf/lif[1>2]; avg[0>3]; skip[2>3] } "
    "readout{ readout@delta~%s }"
)


def build(text: str, seed: int = 0, shape: tuple[int, int, int] = (1, 8, 8)) -> Network:
    torch.manual_seed(seed)
    return networks.build(parse(text), shape, 10)


def batch(size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.rand(size, 1, 8, 8), torch.arange(size) % 10


# -- drop-path ---------------------------------------------------------------------------------------------------------


def test_paths_are_operations_and_never_skips() -> None:
    assert set(paths(build(NB201).graph)) == {"cell1_1to3", "cell1_2to3"}
    found = paths(build(DARTS % "usf").graph)
    assert {f"cell{n}_{edge}" for n in (1, 2, 3, 4) for edge in ("1to2_pointwise1", "0to3")} <= set(found)
    assert not any(name.endswith(("pre0", "node2")) for name in found)


def test_a_sum_gets_what_is_left_scaled_up_and_the_same_at_every_step() -> None:
    network = build(NB201).train()
    network.drop_path.rate = 0.25
    images, _ = batch(400)
    names = ("cell1_1to3", "cell1_2to3")
    (total,) = (node.name for node in network.graph if node.op == "add")
    aside = dict.fromkeys([*names, "stem", total], images)
    network(images, aside=aside)
    masks = network.drop_path._masks
    assert set(masks) == set(names)
    for mask in masks.values():
        assert mask.unique().tolist() == pytest.approx([0.0, 4 / 3])
        assert float((mask == 0).float().mean()) == pytest.approx(0.25, abs=0.08)
    assert not torch.equal(*masks.values())
    wanted = aside["stem"] + sum(aside[name] * masks[name].view(1, -1, 1, 1, 1) for name in names)
    torch.testing.assert_close(aside[total], wanted)


def test_evaluation_drops_nothing() -> None:
    network = build(NB201).eval()
    images, _ = batch()
    plain = network(images)
    network.train()
    network.drop_path.rate = 0.5
    network(images)
    network.load_state_dict(build(NB201).state_dict())
    assert torch.equal(network.eval()(images), plain)


def test_the_rate_rises_over_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    rates, network = [], build(NB201)
    draw = network.drop_path.draw

    def seen(images: torch.Tensor, training: bool) -> None:
        rates.append(network.drop_path.rate)
        draw(images, training)

    monkeypatch.setattr(network.drop_path, "draw", seen)
    train(network, data_sets.load("digits", train=20, validation=20), Training(epochs=4, drop_path=0.4), seed=0)
    assert sorted(set(rates)) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert rates == sorted(rates)
    assert network.drop_path.rate == 0.0


def test_step_by_step_a_path_is_dropped_for_all_steps() -> None:
    text = NB201.replace("usf/lif", "ottt~usf/lif").replace("T=2", "T=3")
    network = build(text)
    assert network.online
    network.train()
    network.drop_path.rate = 0.5
    drawn = []
    draw = network.drop_path.draw
    network.drop_path.draw = lambda *given: drawn.append(given) or draw(*given)  # type: ignore[method-assign, func-returns-value]
    learn(network, *batch(), Training())
    assert len(drawn) == 1


# -- auxiliary heads ---------------------------------------------------------------------------------------------------


def test_its_place_is_after_two_thirds_of_the_cells() -> None:
    head = auxiliary.build(build(DARTS % "usf"))
    assert head is not None
    assert head.place == "cell3"
    assert head.layer.pair.name == "delta~usf"


def test_there_is_none_where_no_error_would_go_down() -> None:
    assert auxiliary.build(build(NB201)) is None
    assert auxiliary.build(build(DARTS.replace("@usf", "@local") % "none")) is None


def test_its_loss_is_added_and_its_error_goes_down() -> None:
    """With back-propagation everywhere, gradients are autograd's of the weighted sum."""
    text = DARTS.replace("@usf", "@bp") % "exact"
    images, labels = batch(12)
    network = build(text)
    head = auxiliary.build(network)
    assert head is not None
    learn(network, images, labels, Training(auxiliary=0.4), head)
    ours = {name: p.grad for name, p in [*network.named_parameters(), *head.named_parameters()]}
    network.zero_grad()
    head.zero_grad()
    aside = {"cell3": images}
    currents = network(images, aside=aside)
    second = head.layer(F.adaptive_avg_pool2d(aside["cell3"].flatten(0, 1), 2).flatten(1).unflatten(0, (2, 12)))
    (F.cross_entropy(currents.mean(0), labels) + 0.4 * F.cross_entropy(second.mean(0), labels)).backward()
    assert ours["layer.synapse.weight"] is not None
    for name, p in [*network.named_parameters(), *head.named_parameters()]:
        assert p.grad is not None, name
        torch.testing.assert_close(ours[name], p.grad)


def test_it_is_no_part_of_the_network_and_a_killed_run_resumes_with_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    digits = data_sets.load("digits", train=64, validation=40)
    training = Training(epochs=2, batch_size=32, auxiliary=0.4, drop_path=0.3, mixup=0.4, augment=True)

    def run(kill: bool, checkpoint: Checkpoint | None) -> dict[str, torch.Tensor]:
        network = build(DARTS % "usf")
        before = network.parameter_counts()

        def stop(_: object) -> None:
            if kill:
                raise KeyboardInterrupt

        train(network, digits, training, seed=0, on_epoch=stop, checkpoint=checkpoint)
        assert network.parameter_counts() == before
        return network.state_dict()

    straight = run(False, None)
    kept = Checkpoint(tmp_path / "x", {"run": 1})
    with pytest.raises(KeyboardInterrupt):
        run(True, kept)
    resumed = run(False, kept)
    assert set(resumed) == set(build(DARTS % "usf").state_dict())
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    plain = build(DARTS % "usf")
    train(plain, digits, Training(epochs=2, batch_size=32, drop_path=0.3, mixup=0.4, augment=True), seed=0)
    assert any(not torch.equal(straight[name], value) for name, value in plain.state_dict().items())


# -- gradient checkpointing --------------------------------------------------------------------------------------------

CHAIN = (
    "chain(T=4) {{ conv(c=8)@{rule}/plif(threshold=0.3); conv(c=8,skip=1)@{rule}/plif; conv(c=8)@{rule}/plif; "
    "readout@delta~{up} }}"
)
RULES = [
    ("bp", "exact"), ("frsf", "frsf"), ("kp", "kp"), ("dfa", "none"), ("local", "none"), ("eprop", "none"),
    ("ottt~usf", "usf"),
]  # fmt: skip


def state(network: Network) -> Iterator[tuple[str, torch.Tensor]]:
    yield from network.state_dict().items()
    yield from ((name, p.grad) for name, p in network.named_parameters() if p.grad is not None)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("rule", "up"), RULES)
def test_gradients_and_statistics_are_equal_to_the_last_bit(rule: str, up: str, precision: str) -> None:
    found = []
    for recompute in (False, True):
        network = build(CHAIN.format(rule=rule, up=up))
        network.call = recomputed if recompute else network.call
        learn(network, *batch(), Training(precision=precision))
        found.append(dict(state(network)))
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_a_cells_gradients_are_equal_with_paths_dropped() -> None:
    found = []
    for recompute in (False, True):
        network = build(DARTS % "usf")
        network.call, network.drop_path.rate = recomputed if recompute else network.call, 0.4
        torch.manual_seed(3)
        learn(network, *batch(12), Training())
        found.append(dict(state(network)))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


@pytest.mark.parametrize(
    ("rule", "up", "share"), [("usf", "usf", 0.55), ("dfa(feedback=learned)", "none", 0.65), ("local", "none", 0.75)]
)
def test_memory_is_lower(rule: str, up: str, share: float) -> None:
    text = "chain(T=4) { " + f"conv(c=16)@{rule}/lif; " * 6 + f"readout@delta~{up} }}"
    found = []
    for recompute in (False, True):
        network = build(text, shape=(3, 16, 16))
        network.call = recomputed if recompute else network.call
        images, labels = torch.rand(8, 3, 16, 16), torch.arange(8)
        learn(network, images, labels, Training())
        network.zero_grad()
        for layer in network:
            layer.after_step(0.0)
        found.append(peak(partial(learn, network, images, labels, Training())))
    assert found[1] < share * found[0], found


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "up"), [("usf", "usf"), ("local", "none")])
def test_compiled_layers_have_the_same_gradients_up_to_rounding(rule: str, up: str) -> None:
    found = []
    for compiled in (False, True):
        network = build(f"chain(T=2){{conv(c=4)@{rule}/lif(threshold=0.3); readout@delta~{up}}}")
        own = Compiled(network)
        network.call = own if compiled else network.call
        learn(network, *batch(), Training())
        own.release()
        assert {layer.population.requested for layer in network if layer.population} == {"auto"}
        found.append([p.grad for p in network.parameters() if p.grad is not None])
    assert len(found[0]) >= 4
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(plain, other, rtol=1e-4, atol=1e-6)
