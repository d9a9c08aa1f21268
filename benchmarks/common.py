"""What every benchmark writes: one JSON record, with its conditions; and a journal of the networks that it trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from snn_nas.conditions import conditions
from snn_nas.search.journal import Journal, Record
from snn_nas.training_settings import REVISION


def record(name: str, result: dict[str, Any], out: str | None, device: str = "cpu") -> None:
    """Print the record; with `out`, write it to that file too."""
    text = json.dumps({"benchmark": name, **result, "conditions": conditions(device)}, indent=1)
    print(text)
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        part = Path(out).with_name(f"{Path(out).name}.part")
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(out)  # whoever is killed meanwhile leaves the old one


class Runs(Journal):
    """Trained networks, one a line, from which a benchmark goes on; all of them trained by the same code.

    Raises:
        SystemExit: on reading, where a line is of another revision of training.
    """

    def read(self) -> list[Record]:
        """All of them, in order."""
        found = super().read()
        if any(row.get("training") != REVISION for row in found):
            raise SystemExit(f"{self.path} holds networks that another version trained: move it away, or name another")
        return found

    def append(self, record: Record) -> None:
        """Add one."""
        super().append({**record, "training": REVISION})
