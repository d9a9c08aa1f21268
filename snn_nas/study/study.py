"""A study on disk: its jobs, run one by one or side by side, each written down as it ends, resumable at any moment."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from neurons.errors import UserError
from snn_nas.search.journal import Journal
from snn_nas.study.claim import Claim
from snn_nas.study.contestants import Contestant, contestants
from snn_nas.study.jobs import TUNING_SEED, Job, Record, run
from snn_nas.training_settings import REVISION

JOURNAL = "journal.jsonl"
OnDone = Callable[[Job, Record], None]


class Study:
    """A claim and what is known of it so far.

    Raises:
        UserError: the claim is wrong, or the folder holds another study.
    """

    def __init__(self, claim: Claim, folder: Path) -> None:
        self.claim, self.folder = claim, folder
        self.contestants = contestants(claim)
        self.journal = Journal(folder / JOURNAL)
        records = self.journal.read()
        if not records:
            self.journal.append({"study": claim.to_json(), "training": REVISION})
        elif records[0].get("study") != claim.to_json():
            theirs = records[0].get("study", {})
            other = ", ".join(key for key, value in claim.to_json().items() if theirs.get(key) != value)
            raise UserError(
                f"{folder} holds another study, {theirs.get('name')!r} (other {other}): name another folder by --out"
            )
        elif records[0].get("training") != REVISION:
            raise UserError(f"{folder} holds a study of another version, which trains otherwise: name another by --out")
        self.results: dict[str, Record] = {record["key"]: record for record in records if "key" in record}
        self.notes: list[Record] = [record for record in records[1:] if "key" not in record]

    # ---- what there is to do

    @property
    def grid(self) -> list[tuple[float, float]]:
        """Every `(lr, threshold)` that is tried; a grid of one point needs no trying."""
        return [(lr, threshold) for threshold, lr in product(self.claim.threshold, self.claim.lr)]

    def tuning(self, contestant: Contestant, variant: int) -> dict[tuple[float, float], list[Job]]:
        """The tries of one network: equally many for everyone."""
        if len(self.grid) == 1:
            return {}
        seeds = range(TUNING_SEED, TUNING_SEED + self.claim.tuning_seeds)
        return {point: [self._job("tune", contestant, variant, seed, point) for seed in seeds] for point in self.grid}

    def chosen(self, contestant: Contestant, variant: int) -> tuple[float, float] | None:
        """The try with the highest mean validation accuracy, the first among equals; None while one is open."""
        tries = self.tuning(contestant, variant)
        if not all(job.key in self.results for jobs in tries.values() for job in jobs):
            return None
        return max(self.grid, key=lambda point: self.accuracy(tries[point])) if tries else self.grid[0]

    def accuracy(self, jobs: list[Job]) -> float:
        """The mean validation accuracy of finished jobs."""
        return fmean(self.results[job.key]["accuracy"] for job in jobs)

    def finals(self, contestant: Contestant) -> list[Job]:
        """The final runs whose tuning is done, in order."""
        jobs = []
        for variant, seed in contestant.runs(self.claim):
            if (point := self.chosen(contestant, variant)) is not None:
                jobs.append(self._job("final", contestant, variant, seed, point))
        return jobs

    def jobs(self) -> list[Job]:
        """Every job that can be named yet: first all tries, then final runs, everyone's first before any second."""
        tries = [
            job
            for contestant in self.contestants
            for variant in range(len(contestant.variants))
            for jobs in self.tuning(contestant, variant).values()
            for job in jobs
        ]
        finals = [job for contestant in self.contestants for job in self.finals(contestant)]
        return [*tries, *sorted(finals, key=lambda job: job.seed)]

    @property
    def total(self) -> int:
        """How many jobs there are in all."""
        tries = len(self.grid) * self.claim.tuning_seeds if len(self.grid) > 1 else 0
        return sum(len(each.variants) * tries + len(each.runs(self.claim)) for each in self.contestants)

    @property
    def done(self) -> bool:
        """Whether every job is done."""
        return len(self.results) == self.total

    def _job(self, phase: Any, contestant: Contestant, variant: int, seed: int, point: tuple[float, float]) -> Job:
        return Job(phase, contestant.name, variant, str(contestant.variants[variant]), seed, *point)

    # ---- doing it

    def run(self, *, workers: int = 1, deadline: float | None = None, on_done: OnDone | None = None) -> bool:
        """Run what is left, `workers` jobs at once; false if it had to stop before all are done.

        No job starts that would, by the slowest so far, not be done at `deadline` (of `time.monotonic`).
        """
        slowest = max((record.get("seconds", 0.0) for record in self.results.values()), default=0.0)
        flying: dict[Future[Record], Job] = {}
        with _executor(workers) as executor:
            while True:
                for job in self.jobs():
                    late = deadline is not None and time.monotonic() + slowest > deadline
                    if late or len(flying) >= workers:
                        break
                    if job.key not in self.results and job not in flying.values():
                        flying[executor.submit(run, job, self.claim.settings, self.folder)] = job
                if not flying:
                    return self.done
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    job, record = flying.pop(future), future.result()
                    self.journal.append(record)
                    self.results[job.key] = record
                    slowest = max(slowest, record.get("seconds", 0.0))
                    if on_done is not None:
                        on_done(job, record)

    def note(self, record: Record) -> None:
        """Write down what is no job."""
        self.journal.append(record)
        self.notes.append(record)


class _Here(Executor):
    """Runs a job at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@contextmanager
def _executor(workers: int) -> Iterator[Executor]:
    """This process, or `workers` others that share its cores and die with it."""
    if workers == 1:
        yield _Here()
        return
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(threads,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _start(threads: int) -> None:
    """A worker's beginning, before torch is imported."""
    from snn_nas.nni.lifeline import die_with_parent

    die_with_parent()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
