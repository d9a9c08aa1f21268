"""Curves for TensorBoard: what was trained, once an epoch, also after a kill; looking changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from neurons.errors import UserError
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.checkpoint import Checkpoint
from snn_nas.genotype import parse
from snn_nas.tensorboard import Board, angle, angles
from snn_nas.training import Epoch, Training, train

CHAIN = (
    "chain(T=2,encoding=poisson){conv(c=4)@usf/lif(threshold=0.5); conv(c=4)@fa/lif(threshold=0.5); "
    "readout(grid=2)@delta~usf}"
)


def run(
    folder: Path | None, checkpoint: Checkpoint | None = None, kill: int = 0
) -> tuple[networks.Network, list[Epoch]]:
    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == kill:
            raise KeyboardInterrupt

    digits = data_sets.load("digits", train=64, validation=40)
    torch.manual_seed(0)
    network = networks.build(parse(CHAIN), digits.shape, digits.classes)
    training = Training(epochs=3, batch_size=32)
    options = {"seed": 0, "on_epoch": on_epoch, "checkpoint": checkpoint, "tensorboard": folder}
    return network, train(network, digits, training, **options)  # type: ignore[arg-type]


def test_curves_are_the_trainings_and_looking_changes_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "curves", Checkpoint(tmp_path / "x", {}), kill=2)
    network, history = run(tmp_path / "curves", Checkpoint(tmp_path / "x", {}))
    plain, _ = run(None)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in network.state_dict().items())
    found = EventAccumulator(str(tmp_path / "curves")).Reload()
    curve = [(event.step, event.value) for event in found.Scalars("loss")]
    assert curve == [(epoch.number, pytest.approx(epoch.loss)) for epoch in history]
    tags = set(found.Tags()["scalars"])
    assert {"validation accuracy", "firing rate/layer1", "firing rate/layer2", "angle/layer2"} <= tags
    assert any(tag.startswith("learning rate/adamw") for tag in tags)
    assert 0 < found.Scalars("firing rate/layer1")[-1].value < 1
    assert found.Scalars("angle/layer2")[-1].value == pytest.approx(angles(network)["layer2"])


def test_angles() -> None:
    assert angle(torch.eye(2), 3 * torch.eye(2)) == pytest.approx(0.0, abs=1e-4)
    assert angle(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])) == pytest.approx(90.0)
    network, _ = run(None)
    assert set(angles(network)) == {"layer2", "readout"}


def test_without_the_package_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install 'snn-nas\[tensorboard\]'"):
        Board(tmp_path, 0)
