"""Everything that trains or measures does so on a device of its own, and comes to what the CPU comes to.

The device is a pretended one: see `device.py`. Attacks are not among it, since their library asks CUDA by name.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rules.registry import Pair, rules
from snn_nas.data import Dataset, Split
from snn_nas.energy.counter import count
from snn_nas.evaluation import EvaluationSettings, evaluate, fit
from snn_nas.export import weights
from snn_nas.export.nir_export import save_nir
from snn_nas.genotype import parse
from snn_nas.network import Network
from snn_nas.nni.study import build_space
from snn_nas.supernet import request
from tests.elsewhere.device import NAME, here, register

FEW = {"data": "digits", "train": 96, "epochs": 1, "batch_size": 32, "energy_images": 20, "backend": "torch"}
MIX = (
    "chain(T=2,encoding={encoding}) {{ conv(c=8,down=avg)@stdp/lif(threshold=0.5); conv(c=8,skip=1)@local/{neuron}; "
    "sepconv(c=8)@frsf/lif(threshold=0.5); readout(grid=2)@delta~frsf }}"
)
PAIRS = [Pair(rule, way) for rule in rules().values() if not rule.readout for way in rule.transports]
FEEDBACK = ["dfa(feedback=learned)", "dfa(feedback=shared)", "eprop(feedback=shared)", "eprop(feedback=random)"]


register()


class Settings(EvaluationSettings):
    """Settings that take the pretended device for one."""

    def resolve_device(self) -> str:
        return self.device


@pytest.fixture(autouse=True)
def _resident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images live on the device, as they do on a GPU that has room."""
    monkeypatch.setattr(Split, "resident", Split.to)


def mix(encoding: str = "direct", neuron: str = "plif(threshold=0.5)") -> str:
    return MIX.format(encoding=encoding, neuron=neuron)


def settings(device: str, given: Mapping[str, Any]) -> Settings:
    made = Settings.of({**FEW, **given})
    object.__setattr__(made, "device", device)
    return made


def trained(device: str, text: str, **given: Any) -> tuple[Network, Dataset]:
    chosen = settings(device, given)
    data = chosen.load(parse(text))
    network, _ = fit(parse(text), chosen, data, 0, patient=True)
    return network, data


def state(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.cpu() for key, value in module.state_dict().items() if isinstance(value, Tensor)}


def assert_same(measured: Callable[[str], Any]) -> list[str]:
    """What is measured on either device is equal, to the last bit; returns what was waited for."""
    expected = measured("cpu")
    with here() as waits:
        found = measured(NAME)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        same = torch.equal(value, found[key]) if isinstance(value, Tensor) else value == found[key]
        assert same, f"{key}: {found[key]} and not {value}"
    return waits


def assert_same_without_waiting(measured: Callable[[str, int], Any]) -> None:
    """However many images, and so batches, there are, Python waits no more often: for a GPU with nothing left to do."""
    waits = assert_same(partial(measured, train=64))
    with here() as longer:
        measured(NAME, 128)
    assert len(waits) == len(longer)


def test_the_device_refuses_what_a_real_one_refuses() -> None:
    with here():
        linear = nn.Linear(3, 2)
        expected = linear(torch.ones(4, 3))
        linear.to(NAME)
        assert linear.weight.device.type == NAME
        with pytest.raises(RuntimeError, match="two devices"):
            linear(torch.ones(4, 3))
        with pytest.raises(RuntimeError, match="a generator of the CPU"):
            torch.rand(3, device=NAME, generator=torch.Generator())
        out = linear(torch.ones(4, 3, device=NAME))
        out.sum().backward()
        assert torch.equal(out.cpu(), expected)
        assert linear.bias.grad is not None
        assert linear.bias.grad.device.type == NAME
        assert linear.bias.grad.tolist() == [4.0, 4.0]
    with pytest.raises(RuntimeError, match="outside of `here`"):
        _ = out + 1


def test_the_device_counts_what_is_waited_for() -> None:
    with here() as waits:
        x, index = torch.ones(5, device=NAME), torch.tensor([0, 2])
        x += 1.0
        x[index.to(NAME, non_blocking=True)] = 3.0
        x.copy_(torch.ones(5), non_blocking=True)
        assert waits == []
        for what in (
            x.cpu, x.sum().item, x.nonzero, lambda: bool((x > 0).all()), lambda: x[index], lambda: x[x > 0],
            lambda: torch.ones(5).to(NAME), lambda: x.copy_(torch.ones(5)), lambda: torch.ones(5).copy_(x),
        ):  # fmt: skip
            waits.clear()
            what()
            assert len(waits) == 1


@pytest.mark.parametrize("name", [*(each.name for each in PAIRS), *FEEDBACK])
def test_every_rule_learns_the_same_there(name: str) -> None:
    """On neurons with a learned time constant, above a layer that lives by what it transports, if anything, and below
    one that transports an error to it.
    """
    lonely = name.partition("(")[0] in {each.name for each in PAIRS if each.transport == "none"}
    lif, plif = "lif(threshold=0.5)", "plif(threshold=0.5)"
    layers = ("c=8,k=3", "frozen" if lonely else "usf", lif), ("c=8,down=avg", name, plif), ("c=8,k=3", "usf", lif)
    text = "; ".join(f"conv({more})@{rule}/{neuron}" for more, rule, neuron in layers)

    def measured(device: str, train: int) -> dict[str, Tensor]:
        return state(trained(device, f"chain(T=2) {{ {text}; readout(grid=2)@delta~usf }}", train=train)[0])

    assert_same_without_waiting(measured)


@pytest.mark.parametrize("encoding", ["direct", "whiten", "onoff", "poisson", "latency"])
def test_every_encoding_is_the_same_there(encoding: str) -> None:
    assert_same_without_waiting(lambda device, train: state(trained(device, mix(encoding), train=train)[0]))


@pytest.mark.parametrize(
    "given",
    [
        {"augment": True, "cutout": 3},
        {"mixup": 0.2, "label_smoothing": 0.1},
        {"ema": 0.9, "warmup": 0.2},
        {"drop_path": 0.3, "epochs": 2},
        {"loss": "tet"},
        {"recompute": True},
    ],
    ids=lambda given: next(iter(given)),
)
def test_every_way_to_train_is_the_same_there(given: dict[str, Any]) -> None:
    assert_same_without_waiting(lambda device, train: state(trained(device, mix(), train=train, **given)[0]))


@pytest.mark.parametrize(
    "space",
    [{"name": "nb201"}, {"name": "darts", "cells": [3], "nodes": 1, "channels": [16], "T": [2]}],
    ids=lambda it: it["name"],
)
def test_cells_are_the_same_there(space: dict[str, Any]) -> None:
    """An auxiliary head where there is one, and dropped paths. (With fewer channels, oneDNN breaks under what is not
    spared it elsewhere than on a CPU: see `rules.synapse.seen`.)
    """
    genotype = str(build_space({**space, "data": "digits"}).sample(random.Random(3)))
    given = {"batch_size": 16, "auxiliary": 0.4, "drop_path": 0.2}
    assert_same_without_waiting(lambda device, train: state(trained(device, genotype, train=train // 4, **given)[0]))


@pytest.mark.parametrize("robustness", ["noise", "pgd"])
def test_a_trial_measures_the_same_there(robustness: str) -> None:
    text = "chain(T=2){conv(c=16,down=avg)@local/lif(threshold=0.5); readout@delta}"
    given = {"train": 300, "epochs": 2, "robustness": robustness, "robustness_images": 20}

    def measured(device: str) -> dict[str, Any]:
        result = evaluate(parse(text), settings(device, given), 1)
        assert result.status == "ok", result.reason
        return {**result.metrics, "curve": result.curve}

    assert set(assert_same(measured))


def test_a_run_that_was_stopped_goes_on_the_same_there(tmp_path: Path) -> None:
    class Stopped(Exception):  # noqa: N818
        pass

    def stop(number: int, metrics: Any) -> None:
        if number == 1:
            raise Stopped

    def measured(device: str) -> dict[str, Tensor]:
        chosen, genotype, file = settings(device, {"epochs": 3, "ema": 0.9}), parse(mix()), tmp_path / device
        data = chosen.load(genotype)
        with pytest.raises(Stopped):
            fit(genotype, chosen, data, 0, patient=True, checkpoint=file, on_epoch=stop)
        network, history = fit(genotype, chosen, data, 0, patient=True, checkpoint=file)
        assert len(history) == 3
        return state(network)

    assert_same(measured)


def test_what_is_exported_from_there_is_the_same(tmp_path: Path) -> None:
    def measured(device: str) -> dict[str, Any]:
        network, data = trained(device, mix(neuron="lif(threshold=0.5)"))
        weights.save(network, tmp_path / "network.safetensors", dataset="digits")
        save_nir(network, tmp_path / f"{device}.nir")
        shown = data.validation.first(20).batches(10, device=device)
        return {
            "file": (tmp_path / "network.safetensors").read_bytes(),
            "activity": repr(count(network, (images for images, _ in shown))),
        }

    assert_same(measured)


@pytest.mark.parametrize("procedure", ["darts", "eg_nas"])
def test_supernets_are_the_same_there(procedure: str) -> None:
    """DARTS waits for nothing while it learns; EG-NAS where a network has layers that none had before."""
    space = {
        "name": "chain", "data": "digits", "depth": [2], "ops": ["conv"], "widths": [8], "kernels": [3], "skips": [0],
        "downs": ["avg", "none"], "T": [2], "encodings": ["direct"], "grid": 2, "readouts": ["frsf"],
        "rules": ["frsf", "local", "stdp", "frozen"], "neurons": ["lif(threshold=0.5)"],
    }  # fmt: skip
    asked = {
        "procedure": procedure, "seed": 0, "epochs": 2, "layers": 200, "warmup": 0.5, "architecture_lr": 0.01,
        "population": 5, "generations": 1, "sigma": 0.5, "diversity": 0.1, "images": 20,
    }  # fmt: skip

    def measured(device: str, train: int = 64) -> dict[str, Any]:
        return request.run(asked, build_space(space), settings(device, {"train": train}))

    if procedure == "darts":
        assert_same_without_waiting(measured)
    else:
        assert_same(measured)
