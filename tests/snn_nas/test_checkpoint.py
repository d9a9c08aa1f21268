"""A killed run goes on and ends as if nothing had happened; a checkpoint that is not this run's is refused."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from neurons.errors import UserError
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.checkpoint import Checkpoint
from snn_nas.genotype import parse
from snn_nas.training import Epoch, Training, train

CHAIN = "chain(T=2){{conv(c=8,down=avg)@{first}/lif(threshold=0.5); conv(c=8)@{second}/plif; readout@delta~{up}}}"
SETTINGS = {"epochs": 4, "batch_size": 32, "augment": True, "warmup": 0.2, "ema": 0.9}


class Killed(BaseException):
    """What a SIGKILL would be."""


@pytest.fixture(scope="module")
def digits() -> data_sets.Dataset:
    return data_sets.load("digits", train=200, validation=100)


def run(text: str, digits: data_sets.Dataset, checkpoint: Checkpoint | None, kill_after: int = 0) -> networks.Network:
    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == kill_after:
            raise Killed

    torch.manual_seed(0 if checkpoint is None or not checkpoint.path.exists() else 99)  # a resumed run needs no luck
    network = networks.build(parse(text), digits.shape, digits.classes)
    train(network, digits, Training(**SETTINGS), seed=0, on_epoch=on_epoch, checkpoint=checkpoint)
    return network


@pytest.mark.parametrize(
    ("first", "second", "up"),
    [
        ("bp", "bp", "exact"),
        ("brsf", "brsf", "brsf"),
        ("kp", "kp", "kp"),
        ("stdp", "local", "none"),
        ("eprop", "eprop", "none"),
        ("dfa(feedback=learned)", "eprop(feedback=random)", "none"),
    ],
)
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(
    tmp_path: Path, digits: data_sets.Dataset, first: str, second: str, up: str
) -> None:
    text = CHAIN.format(first=first, second=second, up=up)
    straight = run(text, digits, None)
    checkpoint = Checkpoint(tmp_path / "x.checkpoint", {"genotype": text})
    for epoch in (1, 3):
        with pytest.raises(Killed):
            run(text, digits, checkpoint, kill_after=epoch)
    resumed = run(text, digits, checkpoint)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_full_disk_is_one_line_and_the_old_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path / "winner.checkpoint", {"seed": 0})
    checkpoint.save({"epoch": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*winner\.checkpoint: No space left"):
        checkpoint.save({"epoch": 2})
    assert (checkpoint.load() or {})["epoch"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["winner.checkpoint"]


def test_a_damaged_or_foreign_checkpoint_is_one_line(tmp_path: Path, digits: data_sets.Dataset) -> None:
    text = CHAIN.format(first="bp", second="bp", up="exact")
    checkpoint = Checkpoint(tmp_path / "x.checkpoint", {"genotype": text, "seed": 0})
    with pytest.raises(Killed):
        run(text, digits, checkpoint, kill_after=1)
    with pytest.raises(UserError, match="another run"):
        Checkpoint(checkpoint.path, {"genotype": text, "seed": 1}).load()
    whole = checkpoint.path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:100] + bytes(50) + whole[150:]):
        checkpoint.path.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged: delete it"):
            checkpoint.load()


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    torch.save({"version": 1, "run": {}, "random": Trap()}, tmp_path / "x.checkpoint")
    with pytest.raises(UserError, match="damaged"):
        Checkpoint(tmp_path / "x.checkpoint", {}).load()
    assert not (tmp_path / "sprung").exists()


def test_the_average_follows_its_formula() -> None:
    from snn_nas.average import MovingAverage

    layer = torch.nn.Linear(1, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average, mean = MovingAverage(layer, 0.6), 0.0
    for n in range(1, 20):
        layer.weight.data.fill_(float(n))
        average.update()
        decay = min(0.6, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * n
        with average.applied():
            assert float(layer.weight) == pytest.approx(mean, rel=1e-5)
        assert float(layer.weight) == n
    average.settle()
    assert float(layer.weight) == pytest.approx(mean, rel=1e-5)


def test_rates_rise_and_then_follow_the_rules_schedule() -> None:
    from snn_nas.optimisers import Optimisers

    network = networks.build(parse(CHAIN.format(first="bp", second="bp", up="exact")), (1, 8, 8), 10)
    optimisers = Optimisers(list(network), Training(warmup=0.5), 10)
    rates = []
    for _ in range(10):
        rates.append(optimisers._optimisers[0].param_groups[0]["lr"] / 2e-3)
        optimisers.step()
    assert rates[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert rates[5] == pytest.approx(1.0)
    assert rates[5:] == sorted(rates[5:], reverse=True)


@pytest.mark.parametrize(
    ("rule", "taken"),
    [
        *((rule, 0.001) for rule in ("fa", "dfa", "dfa(feedback=shared)", "drtp", "eprop(feedback=random)", "ottt~fa")),
        *((rule, 0.005) for rule in ("bp", "kp", "dfa(feedback=learned)", "eprop", "ottt~exact")),
    ],
)
def test_weights_under_fixed_random_feedback_are_forgotten_over_the_whole_training(rule: str, taken: float) -> None:
    from snn_nas.optimisers import Optimisers

    carrier = {"bp": "exact", "fa": "fa", "kp": "kp"}.get(rule, "none" if "~" not in rule else rule.split("~")[1])
    below = f"conv(c=8)@gradient~{carrier}/lif" if carrier != "none" else "conv(c=8)@frozen/lif"
    text = f"chain(T=2) {{ {below}; conv(c=8)@{rule}/lif; readout@delta~{carrier} }}"
    network = networks.build(parse(text), (1, 8, 8), 10)
    _, layer, readout = network
    stepped = Optimisers(list(network), Training(), 1000)._stepped_by
    (group, *_), (last, *_) = (stepped[each].param_groups for each in (layer, readout))  # type: ignore[union-attr]
    assert group["lr"] * group["weight_decay"] == pytest.approx(taken)
    assert (last["weight_decay"] == 0.0) == (carrier != "kp")  # no norm follows a readout


@pytest.mark.parametrize(
    ("text", "slow"),
    [
        ("conv(c=8)@fa/lif; conv(c=8)@fa/lif; readout@delta~fa", [True, True]),  # the lowest has no B of its own
        ("conv(c=8)@ottt/lif; conv(c=8)@ottt~fa/lif; readout@delta~exact", [True, True]),
        ("conv(c=8)@bp/lif; conv(c=8)@bp/lif; readout@delta~fa", [True, True]),
        ("conv(c=8)@bp/lif; conv(c=8)@frozen~fa/lif; conv(c=8)@usf/lif; readout@delta~usf", [True, None, False]),
        ("conv(c=8)@local/lif; conv(c=8)@fa/lif; readout@delta~exact", [False, False]),  # none below: no B
        ("conv(c=8)@gradient/lif; conv(c=8)@usf/lif; readout@delta~usf", [False, False]),
    ],
)
def test_whose_error_came_through_a_random_matrix_forgets_slowly(text: str, slow: list[bool | None]) -> None:
    network = networks.build(parse(f"chain(T=2) {{ {text} }}"), (1, 8, 8), 10)
    *hidden, readout = network
    for layer, expected in zip(hidden, slow, strict=True):
        if expected is not None:
            assert layer.optimiser.horizon == (1.0 if expected else 0.2)
    assert readout.optimiser.horizon is None


def test_what_forgets_nothing_still_forgets_nothing_under_random_feedback() -> None:
    from rules.registry import Optimiser

    for declared in (Optimiser(), Optimiser(kind="sgd"), Optimiser(kind="step")):
        assert declared.to_align() == declared


def test_weights_are_forgotten_over_a_share_of_the_training() -> None:
    from rules.registry import Optimiser, pair
    from snn_nas.optimisers import Optimisers

    declared = pair("frsf").optimiser
    assert declared.horizon == 0.2
    for steps, factor, taken in (
        (1000, 1.0, 0.005),
        (10**5, 1.0, 5e-5),
        (1000, 4.0, 0.01),
        (5, 1.0, 0.01),
        (50, 32.0, 0.01),
    ):
        assert factor * declared.lr * declared.decay(steps, factor) == pytest.approx(taken)
    text = "chain(T=2) { conv(c=8,down=avg)@local/lif; readout(grid=4)@delta }"
    network = networks.build(parse(text), (1, 8, 8), 10)
    for factor, taken in ((0.5, 0.0025), (8.0, 0.01)):
        stepped = Optimisers(list(network), Training(lr=factor), 1000)._stepped_by
        hidden, readout = (stepped[network.layers[name]] for name in ("layer1", "readout"))
        assert hidden is not None
        assert readout is not None
        weights, head = hidden.param_groups
        assert weights["lr"] * weights["weight_decay"] == pytest.approx(taken)
        assert head["weight_decay"] == readout.param_groups[0]["weight_decay"] == 0.0
    with pytest.raises(UserError, match="a horizon is adamw's"):
        Optimiser(kind="sgd", horizon=0.2)


def test_kp_s_feedback_forgets_what_the_weights_forget() -> None:
    from snn_nas.optimisers import Optimisers

    network = networks.build(parse(CHAIN.format(first="kp", second="kp", up="kp")), (1, 8, 8), 10)
    layer = network.layers["layer2"]
    optimisers, kept = Optimisers(list(network), Training(warmup=0.3), 10), 1.0
    apart = layer.transport.matrix - layer.synapse.weight.detach()
    group = optimisers._stepped_by[layer].param_groups[0]  # type: ignore[union-attr]
    for _ in range(10):
        kept *= 1.0 - group["lr"] * group["weight_decay"]
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimisers.step()
    assert kept < 0.99
    assert torch.allclose(layer.transport.matrix - layer.synapse.weight.detach(), kept * apart, atol=1e-6)


def test_a_readout_of_fewer_inputs_takes_a_larger_rate() -> None:
    from rules.registry import pair
    from snn_nas.optimisers import Optimisers

    rate = pair("delta", "kp").optimiser
    assert rate.of(8192).lr == rate.of(50_000).lr == 2e-3
    assert rate.of(1024).lr == pytest.approx(8 * 2e-3)
    assert rate.of(1).lr == rate.of(128).lr == pytest.approx(32 * 2e-3)
    assert [rate.of(fan_in).lr * rate.of(fan_in).decay(1000) for fan_in in (128, 8192)] == pytest.approx([0.005] * 2), (
        "kp's B follows alike"
    )
    assert pair("bp").optimiser.of(1) == pair("bp").optimiser
    text = "chain(T=2) { conv(c=8,down=avg)@bp/lif; readout(grid=4)@delta~exact }"
    network = networks.build(parse(text), (1, 8, 8), 10)
    stepped = Optimisers(list(network), Training(lr=0.5), 10)._stepped_by
    rates = {name: stepped[layer].param_groups[0]["lr"] for name, layer in network.layers.items()}  # type: ignore[union-attr]
    assert rates == {"layer1": pytest.approx(1e-3), "readout": pytest.approx(32 * 1e-3)}
    network = networks.build(parse(text.replace("down=avg", "down=none").replace("grid=4", "grid=8")), (1, 8, 8), 10)
    readout = Optimisers(list(network), Training(), 10)._stepped_by[network.layers["readout"]]
    assert readout.param_groups[0]["lr"] == pytest.approx(16 * 2e-3), "by inputs, 512, not by outputs"  # type: ignore[union-attr]


def test_temporal_training_is_the_mean_of_every_steps_loss() -> None:
    from snn_nas.training import learn

    network = networks.build(parse(CHAIN.format(first="bp", second="bp", up="exact")), (1, 8, 8), 10)
    images, labels = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
    network.eval()
    wanted = torch.stack([torch.nn.functional.cross_entropy(c, labels) for c in network(images)]).mean()
    found = learn(network, images, labels, Training(loss="tet"))
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
