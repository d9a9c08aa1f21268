"""Our strategies as an NNI tuner, for YAML: `className: snn_nas.nni.tuner.StrategyTuner`.

NNI would let us subclass its `Tuner`; we subclass the dispatcher above it instead (NNI calls that an advisor, and takes
it in the same place), because through `Tuner`

- a proposal cannot be deferred until the result that it depends on is in: to answer "not yet" ends the search;
- the end of a trial that was resumed is not passed on, so one that crashes then would be waited for without end;
- an exception leaves the experiment RUNNING for ever.

State is written after every change, so a kill at any moment loses nothing: the journal first (results), then the state
(proposals and the strategy), then the message to NNI. What NNI lost of our proposals is sent again on resume.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.tuner_command_channel import CommandType

from neurons.errors import UserError
from snn_nas.nni.config import refuse_assessor
from snn_nas.nni.database import ended_without_result, finals
from snn_nas.nni.lifeline import die_with_manager, hold
from snn_nas.nni.messages import parameters, result_of
from snn_nas.nni.study import Study
from snn_nas.nni.trial import trial_settings
from snn_nas.search.files import write_json

if TYPE_CHECKING:
    from snn_nas.supernet.process import Progress

log = logging.getLogger("nni.snn_nas")

PROGRESS = "progress.json"
"""How far a supernet's training is, beside the search's state: for whoever watches."""
PROGRESS_EVERY = 30.0
"""Seconds between two lines of it in the log."""

GRACE = 1.0
"""Seconds between the end of a trial and the moment we believe that no result of it is under way."""


class StrategyTuner(MsgDispatcherBase):  # type: ignore[misc]
    """Ask a strategy for trials, tell it their results, in the order of the proposals."""

    def __init__(self, **settings: Any) -> None:
        """Connect first and look at the settings later: an error can be reported only over the connection."""
        super().__init__()
        die_with_manager()
        self.settings = settings
        self.unprotected = "SNN_NAS_MANAGER" not in os.environ
        self.lock = threading.RLock()
        self.study: Study
        self.requested = 0
        self.parameter_id = 0
        self.resent: list[str] = []
        self.inherited: set[str] = set()
        self.exhausted = False
        self.preparing = False

    def run(self) -> None:
        """Serve the manager until it says stop, or is gone. Everything is on the disk then: leave at once."""
        receive = self._channel._receive

        def receive_or_leave() -> Any:
            received = receive()
            if received[0] in (None, CommandType.Terminate):
                with self.lock:
                    self._channel.disconnect()
                    logging.shutdown()
                    os._exit(0)
            return received

        self._channel._receive = receive_or_leave
        super().run()

    # ---- commands of NNI's manager; results arrive on one thread, ends of trials on another

    def process_command(self, command: Any, data: Any) -> None:
        """Run one command under the lock; an exception ends the experiment with its reason."""
        try:
            with self.lock:
                super().process_command(command, data)
        except BaseException as error:
            self._fail(error)

    def handle_initialize(self, data: Any) -> None:
        """Build or restore the study. The search space is the strategy's own: NNI's copy is for show."""
        self._warn_if_open()
        refuse_assessor(_configuration())
        folder = _checkpoint()
        self.hold = hold(folder)
        self.study = Study(folder, self.settings)
        self.send(CommandType.Initialized, "")

    def handle_import_data(self, data: list[dict[str, Any]]) -> None:
        """On resume: every trial that NNI saw finish. Most are in the journal already."""
        for entry in data:
            value = entry["value"]
            self._tell(_load(value), entry["parameter"], entry.get("trialJobId", ""))
        self._answer()

    def handle_add_customized_trial(self, data: list[dict[str, Any]]) -> None:
        """On resume: the trials that were running. NNI starts them again by itself, under their old ids.

        Some of them had reported, and only their end was not seen: those find out by themselves, see
        `HttpChannel.reported`. Others ended without a result, and we were killed before we had noted it. NNI's import
        has neither, so we read both where NNI keeps them.
        """
        for record in data:
            self.parameter_id = max(self.parameter_id, (record["parameter_id"] or 0) + 1)
            self.inherited.add(record["parameters"].get("genotype", ""))
        folder = _checkpoint().parent
        for final in finals(folder):
            self._tell(final.value, final.parameters, final.job)
        for job, given, event in ended_without_result(folder):
            if given.get("genotype", "") not in self.inherited:
                self._give_up(given, job, without_result(event))
        lost = [genotype for genotype in map(str, self.study.outstanding()) if genotype not in self.inherited]
        log.info("Resumed: %d trials run again, %d were never started", len(self.inherited), len(lost))
        self.resent = lost

    def handle_request_trial_jobs(self, data: int) -> None:
        """NNI has room for so many more trials; the first request is for as many as may run at once."""
        self.study.start(data)
        self.requested += data
        self._answer()

    def handle_report_metric_data(self, data: dict[str, Any]) -> None:
        """A result. Intermediate ones are NNI's to show."""
        if data["type"] == "FINAL":
            self._tell(_load(data["value"]), None, data.get("trial_job_id", ""))
            self._answer()

    def handle_trial_end(self, data: dict[str, Any]) -> None:
        """A trial ended. Its result may still stand in the other queue, so wait a little before calling it failed."""
        record = json.loads(data["hyper_params"])
        late = [self._give_up, record["parameters"], data["trial_job_id"], without_result(data["event"])]
        timer = threading.Timer(GRACE, self._guarded, late)
        timer.daemon = True
        timer.start()

    def handle_update_search_space(self, data: Any) -> None:
        """Refuse: a search whose space changes under way is no longer reproducible."""
        log.warning("The search space cannot be changed while a search runs; start a new one.")

    # ---- what they have in common

    def _tell(self, value: Any, given: Mapping[str, Any] | None, job: str) -> None:
        result = result_of(value, given)
        if result is None:
            log.warning("Trial %s: its result does not say which genotype it is of; ignored: %s", job, value)
        elif not self.study.tell(result, job):
            log.info("Trial %s: result of %s ignored, it is known or was not proposed by us", job, result.digest)

    def _give_up(self, given: Mapping[str, Any], job: str, reason: str) -> None:
        if self.study.give_up(str(given.get("genotype", "")), job, reason):
            log.warning("Trial %s: %s", job, reason)
            self._answer()

    def _answer(self) -> None:
        """Send what can be sent: first what NNI lost, then new proposals, as far as the order of results allows."""
        if self.study.unprepared:
            self._prepare()
            return
        while self.requested:
            if self.resent:
                genotype: str | None = self.resent.pop(0)
            else:
                genotype = self.study.ask()
            if self.study.exhausted:
                if not self.exhausted:
                    log.info("Every genotype of the space has been proposed")
                    self.send(CommandType.NoMoreTrialJobs, "")
                self.exhausted = True
                return
            if genotype is None:
                return
            self.requested -= 1
            record = {
                "parameter_id": self.parameter_id,
                "parameter_source": "algorithm",
                "parameters": parameters(
                    self.study.space,
                    genotype,
                    self.study.seed,
                    self.study.bars(genotype),
                    self.unprotected,
                    self.study.inheritance(genotype),
                ),
                "parameter_index": 0,
            }
            self.parameter_id += 1
            self.send(CommandType.NewTrialJob, json.dumps(record))

    def _prepare(self) -> None:
        """Start to train the supernet that the strategy wants. Commands are served meanwhile; then we answer."""
        if self.preparing:
            return
        self.preparing = True
        evaluation = trial_settings(str(_configuration().get("trialCommand", "")))
        news = _checkpoint() / PROGRESS
        logged = -PROGRESS_EVERY

        def report(progress: Progress) -> None:
            nonlocal logged
            write_json(news, {"text": str(progress)})
            if progress.seconds - logged >= PROGRESS_EVERY:
                logged = progress.seconds
                log.info("%s", progress)

        def take(answer: Mapping[str, Any]) -> None:
            news.unlink(missing_ok=True)
            self.study.prepared(answer)
            self._answer()

        def work() -> None:
            try:
                answer = self.study.prepare(evaluation, report)
            except BaseException as error:
                self._fail(error)
            else:
                self._guarded(take, answer)

        threading.Thread(target=work, daemon=True).start()

    def _guarded(self, action: Callable[..., None], *args: Any) -> None:
        try:
            with self.lock:
                action(*args)
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Log the reason, tell the manager, and end at once: the experiment's status becomes ERROR."""
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        log.error("The search cannot go on. %s", reason, exc_info=None if isinstance(error, UserError) else error)
        try:
            self.report_error(reason)
            self._channel.disconnect()
        finally:
            logging.shutdown()
            os._exit(1)

    def _warn_if_open(self) -> None:
        """A bare `nnictl create` listens everywhere, has no login, and gives out any file that the user can read.

        The web page says it too: in every trial's parameters, and, if the configuration is like ours, in its title.
        """
        if self.unprotected:
            port = urlsplit(os.environ.get("NNI_TUNER_COMMAND_CHANNEL", "")).port
            log.warning(
                "SECURITY: NNI listens on EVERY network interface, port %s, without a login: whoever reaches it can "
                "start commands and read any of your files. `snn-nas search` listens on this machine alone; so does "
                "`NODE_OPTIONS=--require=%s nnictl create ...`.",
                port,
                Path(__file__).with_name("manager.js"),
            )


def without_result(event: str) -> str:
    """Why a trial failed that NNI says has ended."""
    return f"the trial ended as {event} without a result"


def _checkpoint() -> Path:
    folder = os.environ.get("NNI_CHECKPOINT_DIRECTORY")
    if not folder:
        raise UserError("NNI names no checkpoint folder: start this tuner through `nnictl create`")
    return Path(folder)


def _configuration() -> dict[str, Any]:
    """The experiment's configuration, with which NNI starts this process."""
    if "--exp_params" not in sys.argv[:-1]:
        return {}
    configuration: dict[str, Any] = json.loads(base64.b64decode(sys.argv[sys.argv.index("--exp_params") + 1]))
    return configuration


def _load(value: Any) -> Any:
    """NNI wraps results in JSON once or twice, depending on the way they took."""
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value
