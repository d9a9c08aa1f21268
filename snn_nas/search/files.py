"""Files that survive a kill or a power cut, and reading what may be damaged all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Replace a file: readers see the old content or the new one, never a part, and no part is left of what failed."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replace a file by JSON, as `write_bytes` does."""
    write_bytes(path, json.dumps(content, allow_nan=False).encode())


def noted(path: Path, key: str) -> Any:
    """What a JSON file says under `key`; None where it says nothing, is damaged or does not exist."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError):
        return None
