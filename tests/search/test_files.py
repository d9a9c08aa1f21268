"""A file that is replaced is never seen in part."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from snn_nas.search.files import write_bytes, write_json


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(path, b"something else")
    assert path.read_text() == '{"a": 1}'
    assert list(tmp_path.iterdir()) == [path]
