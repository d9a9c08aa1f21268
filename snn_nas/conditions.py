"""Under which conditions a number was measured: device, versions, commit, how networks are trained, time. Part of every
record."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from snn_nas.training_settings import REVISION

PACKAGES = ("torch", "spikingjelly", "snntorch", "nni", "numpy")


def conditions(device: str = "cpu") -> dict[str, Any]:
    """The conditions of this process."""
    return {
        "device": _device(device),
        "versions": {"python": platform.python_version()} | {package: _version(package) for package in PACKAGES},
        "commit": commit(),
        "training": REVISION,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@lru_cache
def place(device: str = "cpu") -> dict[str, str | None]:
    """Commit and device of one run among many, some of which may have been elsewhere.

    The commit is asked for once a process: code that is changed later is not what runs here.
    """
    return {"commit": commit(), "device": _device(device)}


def places(runs: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Every commit and every device at which these runs ran: more than one each where the work went on elsewhere."""
    every = list(runs)
    return {key: sorted({str(run[key]) for run in every if run.get(key)}) for key in ("commit", "device")}


def _device(device: str) -> str:
    import torch

    if device == "cpu":
        return f"{_processor()}, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device)


def _version(package: str) -> str | None:
    """None where it is not installed: a search in process needs no NNI."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit that this code is at, where it lies in a repository; `-dirty` where it was changed since."""
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
