"""NNI's own record of an experiment, read without a server: each final result beside its trial's parameters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from snn_nas.nni.messages import result_of
from snn_nas.search.result import Result

ENDED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")


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


def configuration(folder: Path) -> dict[str, Any]:
    """What the experiment was started with, every path absolute.

    Raises:
        UserError: NNI has no record there, or it is damaged.
    """
    with _reading(folder):
        rows = _rows(folder, "select id, params from ExperimentProfile order by revision")
        found = json.loads(rows[-1][1]) if rows else None
    if not isinstance(found, dict):
        raise UserError(f"{folder} is no folder of a search under NNI")
    return found


def finals(folder: Path) -> list[Final]:
    """The final results of an experiment's folder, in the order in which they came; the last of each trial counts.

    Rows are kept in that order; the times that NNI writes into them are those of a clock that may be set back.

    Raises:
        UserError: the record is damaged.
    """
    with _reading(folder):
        given = dict(_rows(folder, "select trialJobId, data from TrialJobEvent where data != '' order by rowid"))
        rows = _rows(folder, "select trialJobId, data from MetricData where type = 'FINAL' order by rowid")
        values = {job: json.loads(json.loads(data)) for job, data in rows}
        asked = {job: json.loads(given[job])["parameters"] for job in values if job in given}
    return [Final(job, asked[job], value) for job, value in values.items() if job in asked]


def ended_without_result(folder: Path) -> list[tuple[str, dict[str, Any], str]]:
    """Trials that ended and never reported: id, parameters, and as what NNI says they ended.

    Raises:
        UserError: the record is damaged.
    """
    with _reading(folder):
        given = dict(_rows(folder, "select trialJobId, data from TrialJobEvent where data != '' order by rowid"))
        last = dict(_rows(folder, "select trialJobId, event from TrialJobEvent order by rowid"))
        reported = dict(_rows(folder, "select trialJobId, type from MetricData where type = 'FINAL'"))
        return [
            (job, json.loads(given[job])["parameters"], event)
            for job, event in last.items()
            if event in ENDED and job in given and job not in reported
        ]


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, LookupError) as error:
        raise UserError(f"{_file(folder)} is damaged, or no record of NNI's ({error})") from error


def _file(folder: Path) -> Path:
    return folder / "db" / "nni.sqlite"


def _rows(folder: Path, query: str) -> list[tuple[str, str]]:
    path = _file(folder)
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute(query).fetchall()
