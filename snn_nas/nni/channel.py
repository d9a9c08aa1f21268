"""A trial's line to NNI's manager.

NNI's local and SSH services speak plain HTTP with their trials: two requests, which we make ourselves, because
`import nni` would lengthen each trial. Every other service goes through NNI's own library.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Protocol, cast

from neurons.errors import UserError

Metric = float | Mapping[str, Any]
TIMEOUT = 30.0
RETRIES = 5


class Channel(Protocol):
    """What a trial asks for and reports."""

    def parameters(self) -> dict[str, Any]:
        """The parameters that this trial was submitted with."""

    def intermediate(self, value: Metric) -> None:
        """Report the metric of one epoch."""

    def final(self, value: Metric) -> None:
        """Report the trial's result, once."""


def connect(environment: Mapping[str, str] = os.environ) -> Channel:
    """The channel of this process.

    Raises:
        UserError: this process was not started by NNI.
    """
    if "NNI_PLATFORM" not in environment:
        raise UserError("a trial is started by NNI: run `snn-nas search` or `nnictl create`; see also `snn-nas train`")
    url = environment.get("NNI_TRIAL_COMMAND_CHANNEL", "")
    if url.startswith("http://"):
        # a mended manager (manager.js) hands out the right parameters; with a stock one, we look ours up
        mended = "SNN_NAS_MANAGER" in environment or environment["NNI_PLATFORM"] != "local"
        return HttpChannel(url, environment["NNI_TRIAL_JOB_ID"], mended)
    return NniChannel()


class HttpChannel:
    """NNI's HTTP command channel, at `.../env/ENVIRONMENT/TRIAL`."""

    def __init__(self, url: str, job: str, mended: bool) -> None:
        self.url, self.job, self.mended = url, job, mended
        self.api = url.partition("/env/")[0] + "/api/v1/nni"
        self.parameter_id: int | None = None
        self.sequence = 0

    def parameters(self) -> dict[str, Any]:
        """The parameters that this trial was submitted with, even where NNI would hand out another's."""
        record = self._next() if self.mended else self._own()
        self.parameter_id = record["parameter_id"]
        return dict(record["parameters"])

    def intermediate(self, value: Metric) -> None:
        """Report the metric of one epoch."""
        self._report("PERIODICAL", self.sequence, value)
        self.sequence += 1

    def final(self, value: Metric) -> None:
        """Report the trial's result."""
        self._report("FINAL", 0, value)

    def reported(self) -> bool:
        """Whether the manager has our result: after a kill, NNI starts every trial again whose end it did not see."""
        try:
            return bool(_request("GET", f"{self.api}/metric-data/{self.job}?type=FINAL", retries=1))
        except (OSError, ValueError):
            return False

    def concurrency(self) -> int:
        """How many trials run at once, or 0 if the manager does not tell (on a remote worker it is out of reach)."""
        try:
            return int(_request("GET", f"{self.api}/experiment", retries=1)["params"]["trialConcurrency"])
        except (OSError, KeyError, TypeError, ValueError):
            return 0

    def _next(self) -> dict[str, Any]:
        """Ask for the next parameters, as `nni.get_next_parameter` does."""
        _request("PUT", self.url, {"type": "request_parameter"})
        while True:
            try:
                answer = _request("GET", self.url)
            except urllib.error.HTTPError as error:
                if error.code == 408:  # no answer yet
                    continue
                raise
            return cast(dict[str, Any], json.loads(answer["parameter"]))

    def _own(self) -> dict[str, Any]:
        """Look up our own record: NNI's queue gives its head to whichever trial asks first (microsoft/nni#5726)."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            try:
                given = _request("GET", f"{self.api}/trial-jobs/{self.job}").get("hyperParameters")
            except urllib.error.HTTPError:
                given = None  # the record is written just after the trial is started
            if given:
                return cast(dict[str, Any], json.loads(given[0]))
            time.sleep(0.05)
        raise TimeoutError(f"NNI has no record of trial {self.job}")

    def _report(self, kind: str, sequence: int, value: Metric) -> None:
        metric = {
            "parameter_id": self.parameter_id,
            "trial_job_id": self.job,
            "type": kind,
            "sequence": sequence,
            "value": json.dumps(value),
        }
        _request("PUT", self.url, {"type": "metric", "metric": json.dumps(metric)})


class NniChannel:
    """NNI's own library, for the services that use files or plug-ins."""

    def parameters(self) -> dict[str, Any]:
        """What NNI hands out next."""
        import nni

        return dict(nni.get_next_parameter())

    def intermediate(self, value: Metric) -> None:
        """Report the metric of one epoch."""
        import nni

        nni.report_intermediate_result(value)

    def final(self, value: Metric) -> None:
        """Report the trial's result."""
        import nni

        nni.report_final_result(value)


def _request(method: str, url: str, content: Any = None, retries: int = RETRIES) -> Any:
    """One JSON request; a connection that fails is tried again after 0.1, 0.2, ... seconds."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    for attempt in range(retries):
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                body = response.read()
                return json.loads(body) if body and body != b"OK" else None
        except urllib.error.HTTPError:
            raise
        except OSError:
            if attempt + 1 == retries:
                raise
            time.sleep(0.1 * 2**attempt)
    return None
