"""NNI's own record of an experiment, read without a server: each final result beside its trial's parameters."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snn_nas.nni.messages import result_of
from snn_nas.search.result import Result


@dataclass(frozen=True)
class Final:
    """What NNI shows of a trial that reported a result."""

    job: str
    parameters: dict[str, Any]
    value: Any

    @property
    def result(self) -> Result | None:
        """The result, if it says which genotype it is of."""
        return result_of(self.value, self.parameters)


def finals(folder: Path) -> list[Final]:
    """The final results of an experiment's folder, in the order in which they came; the last of each trial counts."""
    path = folder / "db" / "nni.sqlite"
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
        given = dict(database.execute("select trialJobId, data from TrialJobEvent where data != '' order by timestamp"))
        rows = database.execute("select trialJobId, data from MetricData where type = 'FINAL' order by timestamp")
        values = {job: json.loads(json.loads(data)) for job, data in rows}
    return [Final(job, json.loads(given[job])["parameters"], value) for job, value in values.items() if job in given]
