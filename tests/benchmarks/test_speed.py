"""The speed benchmarks run the code that they will run on a GPU, at a size for a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import REPOSITORY


def bench(name: str, out: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--device", "cpu", "--out", str(out), *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    record: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return record


@pytest.mark.slow
def test_the_speed_run_goes_on_where_it_was_and_says_when_it_is_finished(tmp_path: Path) -> None:
    tiny = ("--data", "digits", "--images", "40", "--width", "2", "--epochs", "1")
    first = bench("cifar10_speedrun", tmp_path / "x.json", *tiny, "--minutes", "4")
    assert not first["finished"]  # five minutes are not left for the second goal
    assert [run["goal"] for run in first["all_runs"]] == ["90 % in 60 s"] * 5
    second = bench("cifar10_speedrun", tmp_path / "x.json", *tiny)
    assert second["finished"]
    assert second["all_runs"][:5] == first["all_runs"]
    assert [goal["runs"] for goal in second["goals"]] == [5, 1]
    for goal in second["goals"]:
        own = [run for run in second["all_runs"] if run["goal"] == goal["name"]]
        assert goal["worst_test_accuracy"] == min(run["test_accuracy"] for run in own)
        assert goal["met"] == (goal["worst_test_accuracy"] >= goal["accuracy"])
    assert all(run["seconds"] > 0 and len(run["validation"]) == 1 for run in second["all_runs"])


def test_both_networks_are_the_same_and_each_is_timed(tmp_path: Path) -> None:
    record = bench("images_per_second", tmp_path / "x.json", "--width", "4", "--batch", "4", "--rounds", "2")
    (found,) = record["comparisons"]
    one, other = found["first_losses"]
    assert one == pytest.approx(other, rel=1e-5)
    wanted = found["ours"]["images_per_second"] / found["spikingjelly"]["images_per_second"]
    assert found["ratio"] == pytest.approx(wanted, rel=0.02)


def test_gradients_under_bp_are_bps_own(tmp_path: Path) -> None:
    tiny = ("--data", "digits", "--depth", "3", "--channels", "4", "--train", "64", "--batches", "3")
    record = bench("gradient_by_depth", tmp_path / "x.json", *tiny, "--batch-size", "16", "--rules", "bp,fa")
    for rows in record["rules"]["bp"].values():
        assert len(rows) == 3
        assert all(row["angle"] < 1e-3 and row["variance_over_bp"] == pytest.approx(1.0) for row in rows)
    assert all(row["angle"] > 10 for row in record["rules"]["fa"]["at initialisation"][:2])


def test_unsupervised_layers_are_trained_seed_by_seed_and_go_on(tmp_path: Path) -> None:
    tiny = ("--data", "digits", "--widths", "4", "6", "--T", "2", "--train", "100", "--epochs", "1", "--test")
    rules = ("--rules", "softhebb", "frozen")
    first = bench("unsupervised_cifar10", tmp_path / "x.json", *tiny, *rules, "--seeds", "1")
    assert [run["rule"] for run in first["runs"]] == ["softhebb", "frozen"]
    assert first["finished"]
    second = bench("unsupervised_cifar10", tmp_path / "x.json", *tiny, *rules, "--seeds", "2")
    assert second["runs"][:2] == first["runs"], "what is there is not run again"
    assert [(run["rule"], run["seed"]) for run in second["runs"][2:]] == [("softhebb", 1), ("frozen", 1)]
    assert second["best"] == max(run["test"] for run in second["runs"])
    with pytest.raises(AssertionError, match=r"other settings \(T\)"):
        bench("unsupervised_cifar10", tmp_path / "x.json", *tiny, *rules, "--T", "3")
