"""What a search's folder says of it beside the trials: `search.json`, and at the end `trials.jsonl`."""

from __future__ import annotations

import time
from pathlib import Path

from snn_nas.cli.configuration import Configuration
from snn_nas.data import describe
from snn_nas.search.files import noted, write_json
from snn_nas.search.journal import Journal
from snn_nas.search.result import Result


class Notes:
    """What a report needs beside the journal: how the search was made, how long it took, and at its end its trials.

    Written after every result: `seconds` are those of all parts of a search that was stopped or killed and went on.
    """

    def __init__(self, folder: Path, asked: Configuration, config: Path, started: float) -> None:
        self.folder, self.started = folder, started
        before = noted(folder / "search.json", "seconds")
        self.before = float(before) if isinstance(before, int | float) else 0.0
        self.record = {
            "experiment": folder.name,
            "config": str(config),
            "strategy": asked.strategy,
            "space": asked.space.name,
            "space_size": asked.space.size(),
            "objectives": list(asked.objectives),
            "front": list(asked.front),
            "seed": asked.seed,
            "profile": asked.settings.profile,
            "data": asked.settings.data,
            "data_title": describe(asked.settings.data).title,
        }

    def write(self, results: list[Result] | None = None) -> None:
        """Write down where it stands; with `results`, what it came to."""
        record = {**self.record, "seconds": round(self.before + time.monotonic() - self.started, 1)}
        if results is not None:
            record["trials"] = len(results)
            trials = self.folder / "trials.jsonl"
            trials.unlink(missing_ok=True)
            journal = Journal(trials)
            for result in results:
                journal.append(result.to_json())
        write_json(self.folder / "search.json", record)
