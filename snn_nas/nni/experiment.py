"""A whole experiment from Python: start, follow, read, stop.

    with Experiment(Path("experiments/quickstart.yml"), folder=Path("runs")) as experiment:
        for snapshot in experiment.watch():
            print(snapshot.done, snapshot.best_accuracy)
        results = experiment.results()

Leaving the block stops everything that was started, whatever the reason for leaving.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from neurons.errors import UserError
from snn_nas.nni import server
from snn_nas.nni.config import override, read_config, write_config
from snn_nas.nni.database import finals
from snn_nas.nni.study import read_journal
from snn_nas.search.files import noted
from snn_nas.search.journal import Journal
from snn_nas.search.result import Result

ENDED = ("DONE", "STOPPED", "VIEWED")


@dataclass(frozen=True)
class Snapshot:
    """Where an experiment stands. `failed` are the trials that came to nothing, those that ended early not among them;
    `energy_uJ` is that of the most accurate network so far; `news` says how far a supernet's training is.
    """

    status: str
    done: int
    total: int
    failed: int
    best_accuracy: float | None
    energy_uJ: float | None  # noqa: N815  spelled as the objective
    elapsed: float
    eta: float | None
    news: str = ""


class Experiment:
    """An NNI experiment under a folder, by default `runs/`: never in the home directory."""

    def __init__(
        self,
        config: Path,
        *,
        folder: Path = Path("runs"),
        host: str = server.LOOPBACK,
        port: int | None = None,
        trials: int | None = None,
        concurrency: int | None = None,
        seed: int | None = None,
        data: str | None = None,
        exportable: str | None = None,
        words: Sequence[str] = (),
        keep: bool = False,
        resumed: str = "",
    ) -> None:
        """Read the configuration; nothing is started.

        `keep` leaves a server behind that shows the finished experiment. `resumed` is NNI's name of one in this folder
        that was stopped or killed: it will go on where it was.

        Raises:
            UserError: there is no such configuration, or it names no number of trials.
        """
        self.base = folder.resolve()
        self.config = override(
            read_config(config),
            trials=trials,
            concurrency=concurrency,
            seed=seed,
            data=data,
            exportable=exportable,
            words=words,
            folder=self.base,
        )
        self.host, self.port, self.keep = host, port, keep
        self.total = int(self.config.get("maxTrialNumber") or 0)
        if not self.total:
            raise UserError(f"{config} has no maxTrialNumber: the search would never end")
        self.server: server.Server | None = None
        self.began = 0.0
        self._seen = -1
        self._since: tuple[float, int] | None = None
        self._id = self.resumed = resumed

    def start(self) -> None:
        """Start the manager.

        Raises:
            UserError: NNI refused the configuration or could not start; or there is nothing to go on with, or it runs.
        """
        self.base.mkdir(parents=True, exist_ok=True)
        self.began = time.monotonic()
        if self.resumed:
            self.server = server.resume(self.resumed, host=self.host, port=self.port)
            return
        written = write_config(self.config, self.base)
        try:
            self.server = server.create(written, host=self.host, port=self.port)
            self._id = self.server.id
        finally:
            written.unlink()

    @property
    def running(self) -> server.Server:
        """The manager, while it runs."""
        if self.server is None:
            raise RuntimeError("the experiment does not run")
        return self.server

    @property
    def id(self) -> str:
        """NNI's name of the experiment; it outlives the server."""
        if not self._id:
            raise RuntimeError("the experiment was not started")
        return self._id

    @property
    def url(self) -> str:
        """The address of the web page."""
        return self.running.url

    @property
    def folder(self) -> Path:
        """The experiment's files: log, db, environments, and ours in `checkpoint`."""
        return self.base / self.id

    @property
    def front(self) -> Path:
        """The Pareto front so far, as JSON."""
        return self.folder / "checkpoint" / "pareto.json"

    def results(self) -> list[Result]:
        """Every result so far, in the order in which they came; of NNI's own tuners, those that NNI stored."""
        journal = Journal(self.folder / "checkpoint" / "journal.jsonl")
        if journal.path.exists():
            return read_journal(journal)
        return [final.result for final in finals(self.folder) if final.result is not None]

    def watch(self, interval: float = 0.5, patience: float = 10.0) -> Iterator[Snapshot]:
        """Yield where the search stands until it is over.

        Args:
            interval: seconds between two looks.
            patience: seconds to wait, once NNI says that it is done, for results that are still on their way.

        Raises:
            UserError: the search failed; the message is the tuner's or the manager's reason.
        """
        over_since: float | None = None
        while True:
            if not self.running.alive():
                raise UserError(f"NNI's manager ended: {self._last_words()}")
            answer = self.running.get("check-status") or {"status": "UNKNOWN"}
            if answer["status"] == "ERROR":
                raise UserError(self._reason(answer.get("errors", [])))
            results = self.results()
            yield self._snapshot(answer["status"], results)
            if answer["status"] in ENDED or self._exhausted(answer["status"]):
                over_since = over_since or time.monotonic()
                if len(results) >= self.total or time.monotonic() - over_since > patience:
                    return
                if self._settled(results):
                    return
            time.sleep(interval)

    def stop(self) -> None:
        """Stop it and leave no process behind, or (`keep`) only a server that shows the result."""
        if self.server is None:
            return
        stopped, self.server = self.server, None
        stopped.stop()
        if self.keep:
            self.server = server.view(stopped.id, host=self.host, port=stopped.port)
            self.keep = False

    def __enter__(self) -> Experiment:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.keep = False
        self.stop()

    def _snapshot(self, status: str, results: Sequence[Result]) -> Snapshot:
        good = [result for result in results if result.ok and "accuracy" in result.metrics]
        best = max(good, key=lambda result: result.metrics["accuracy"], default=None)
        news = self._news()
        return Snapshot(
            status=status,
            done=len(results),
            total=self.total,
            failed=sum(result.status not in ("ok", "stopped") for result in results),
            best_accuracy=best.metrics["accuracy"] if best else None,
            energy_uJ=best.metrics.get("energy_uJ") if best else None,
            elapsed=time.monotonic() - self.began,
            eta=self._eta(len(results), bool(news)),
            news=news,
        )

    def _eta(self, done: int, busy: bool) -> float | None:
        """Seconds left, by the trials that ended since the first look at which nothing new was there.

        What a resumed search had done before says nothing of it, nor does the time in which a supernet was trained.
        """
        now = time.monotonic()
        if busy:
            self._since = None
        elif self._since is None and done == self._seen:
            self._since = now, done
        self._seen = done
        if self._since is None or done == self._since[1]:
            return None
        began, before = self._since
        return (now - began) / (done - before) * max(0, self.total - done)

    def _news(self) -> str:
        return str(noted(self.folder / "checkpoint" / "progress.json", "text") or "")

    def _exhausted(self, status: str) -> bool:
        """NNI never ends an experiment whose tuner has no more trials: we do, when the last one has ended."""
        return status == "TUNER_NO_MORE_TRIAL" and not self._active()

    def _active(self) -> int:
        counts = self.running.get("job-statistics") or []
        return sum(
            int(count["trialJobNumber"]) for count in counts if count["trialJobStatus"] in ("RUNNING", "WAITING")
        )

    def _settled(self, results: Sequence[Result]) -> bool:
        jobs = self.running.get("trial-jobs")
        return jobs is not None and len(results) >= len(jobs)

    def _reason(self, errors: Sequence[str]) -> str:
        """What the manager says; for a tuner that could not speak for itself, its last words."""
        said = "; ".join(errors)
        return said if said and "see dispatcher.log" not in said else f"{said}: {self._last_words(errors)}"

    def _last_words(self, known: Sequence[str] = ()) -> str:
        """The last error in the logs that says more than what is known."""
        for name in ("nnictl_stderr.log", "dispatcher.log", "nnimanager.log"):
            path = self.folder / "log" / name
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            marked = [line for line in lines if "ERROR" in line or "rror:" in line]
            if errors := [line for line in marked if not any(text in line for text in known)]:
                return f"{errors[-1].strip()} ({path})"
        return f"see {self.folder / 'log'}"
