"""What every benchmark prints: one JSON record, with its conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snn_nas.conditions import conditions


def record(name: str, result: dict[str, Any], out: str | None, device: str = "cpu") -> None:
    """Print the record; with `out`, write it to that file too."""
    text = json.dumps({"benchmark": name, **result, "conditions": conditions(device)}, indent=1)
    print(text)
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(f"{text}\n", encoding="utf-8")
