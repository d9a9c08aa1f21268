"""Files that survive a kill or a power cut, and reading what may be damaged all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Replace a file by JSON: readers see the old content or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(content, file, allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def noted(path: Path, key: str) -> Any:
    """What a JSON file says under `key`; None where it says nothing, is damaged or does not exist."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError):
        return None
