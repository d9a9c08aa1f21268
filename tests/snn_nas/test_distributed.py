"""Two processes learn what one does, whatever the rule; the first alone writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from neurons.errors import UserError
from rules.registry import rules
from snn_nas import distributed
from snn_nas.drop_path import DropPath
from tests import REPOSITORY
from tests.snn_nas import ranks

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def together(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *TORCHRUN, *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    done = together("-m", "tests.snn_nas.ranks", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", ranks.GENOTYPES)
def test_one_and_two_processes_agree(two: Path, tmp_path: Path, name: str) -> None:
    found = torch.load(two / "rank0.pt", weights_only=True)[name]
    alone = ranks.run(name, tmp_path)
    assert found.keys() == alone.keys()
    for key, value in alone.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


def test_paths_are_dropped_alike_in_all_processes(two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process learns the same where both halves of its batch drop the same paths."""
    draw = DropPath.draw

    def in_halves(self: DropPath, images: torch.Tensor, training: bool) -> None:
        draw(self, images.narrow(images.dim() - 4, 0, images.shape[-4] // 2), training)
        self._masks = {name: mask.repeat(2) for name, mask in self._masks.items()}

    monkeypatch.setattr(DropPath, "draw", in_halves)
    found = torch.load(two / "rank0.pt", weights_only=True)
    alone = ranks.run("darts", tmp_path, drop_path=0.6)
    for key, value in alone.items():
        torch.testing.assert_close(found["dropped"][key], value, rtol=1e-3, atol=1e-4)
    assert any(not torch.allclose(value, found["darts"][key], rtol=1e-2) for key, value in alone.items())


def test_every_rule_that_learns_is_compared() -> None:
    compared = " ".join(ranks.GENOTYPES.values())
    for name, declaration in rules().items():
        short = "bp" if name == "gradient" else name
        assert not declaration.learns or f"@{short}" in compared, name


def test_all_processes_hold_the_same_bits(two: Path) -> None:
    one, other = (torch.load(two / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for name, state in one.items():
        assert all(torch.equal(value, other[name][key]) for key, value in state.items()), name


def test_a_killed_run_goes_on(two: Path) -> None:
    found = torch.load(two / "rank0.pt", weights_only=True)
    assert all(torch.equal(value, found["brsf"][key]) for key, value in found["resumed"].items())


def test_processes_that_find_different_checkpoints_stop(two: Path) -> None:
    """Else they would wait for ever for each other, or learn different things."""
    assert all(torch.load(two / f"rank{rank}.pt", weights_only=True)["apart"]["told"] for rank in (0, 1))


def test_a_batch_without_equal_shares_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.across.processes", lambda: 3)
    with pytest.raises(UserError, match="batch_size=64 is no multiple of 3 processes"):
        distributed.check_batch(64)
    distributed.check_batch(63)


@pytest.mark.slow
def test_the_command_trains_under_torchrun_and_writes_once(tmp_path: Path) -> None:
    words = (
        "-m",
        "snn_nas",
        "train",
        ranks.GENOTYPES["bp"],
        "--epochs",
        "1",
        "--train",
        "64",
        "--batch-size",
        "32",
    )
    curves = tmp_path / "curves"
    done = together(*words, "--twin", "--out", str(tmp_path / "model"), "--tensorboard", str(curves))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("written to") == 1
    record = json.loads((tmp_path / "model" / "winner.json").read_text())
    assert record["conditions"]["processes"] == 2
    assert record["twin"]
    assert [len(list((curves / name).iterdir())) for name in ("winner", "twin")] == [1, 1]
    other = together("-m", "snn_nas", "rules")
    assert "torchrun is for snn-nas train" in other.stderr
