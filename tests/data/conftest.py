from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snn_nas.data import registry


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache or data."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SNN_NAS_DATA", raising=False)
    return tmp_path / "cache" / "snn-nas"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def alter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`alter("cifar10", counts=None)` changes what the registry says, so that tiny files pass for the data set."""

    def change(name: str, **changes: Any) -> None:
        monkeypatch.setitem(registry.ENTRIES, name, replace(registry.ENTRIES[name], **changes))

    return change
