"""Hundreds of quick trials under NNI: memory of tuner and manager, throughput, and the report at their end.

Node collects its garbage late, so its memory is compared after a first part in which it fills up.
"""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from snn_nas.nni.experiment import Experiment
from snn_nas.report import write as write_report
from tests.nni.rig import left_over, write

N = 60
PARTS = 5
"""Parts of a run that are compared with each other."""
GROWTH_MIB = 32.0
"""How much more memory the last fifth of the trials may take than the second."""
SLOWER = 0.7
"""How much of the first two fifths' throughput the last two must have, on a machine that others use too."""
OPENS_IN_S = 1.0


def run(folder: Path, *, trials: int, pages: bool = True) -> dict[str, Any]:
    """One search of toy trials, two at once; returns what was measured, and in `holds` what of it is as it should be.

    Raises:
        AssertionError: a trial is missing, or a process is left.
    """
    config = write(folder, "many", trials=trials, n=N, seed=1)
    began = time.monotonic()
    with Experiment(config, folder=folder / "runs") as experiment:
        watcher = Watcher(experiment.running.process)
        list(experiment.watch())
        watcher.stop()
        results = experiment.results()
        ends = sorted(job["endTime"] / 1000 for job in experiment.running.get("trial-jobs"))
        spent = _page(experiment.url) if pages else None
    assert not left_over(folder)
    assert len(results) == trials == len({result.digest for result in results})
    assert all(result.ok for result in results)
    started = time.monotonic()
    page = write_report(experiment.folder)
    written = time.monotonic() - started
    opened = _page(page.resolve().as_uri()) if pages else None
    memory = {kind: watcher.parts(kind) for kind in ("manager", "tuner")}
    rates = _rates(ends)
    return {
        "holds": {
            "memory_flat": all(sizes[-1] <= sizes[min(1, len(sizes) - 1)] + GROWTH_MIB for sizes in memory.values()),
            "throughput_steady": sum(rates[-2:]) >= SLOWER * sum(rates[:2]),
            "report_opens_in_a_second": opened is None or opened <= OPENS_IN_S,
        },
        "trials": trials,
        "seconds": round(time.monotonic() - began, 1),
        "trials_per_minute": rates,
        "memory_MiB": memory,
        "nni_page_opens_in_s": spent,
        "report_written_in_s": round(written, 2),
        "report_MiB": round(page.stat().st_size / 2**20, 2),
        "report_opens_in_s": opened,
    }


class Watcher:
    """Resident memory of the manager and the tuner, once a second."""

    def __init__(self, manager: psutil.Process) -> None:
        self.manager = manager
        self.seen: dict[str, list[float]] = {"manager": [], "tuner": []}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        tuner: psutil.Process | None = None
        while not self._over.wait(1.0):
            try:
                tuner = tuner or _tuner(self.manager)
                if tuner is None:
                    continue
                both = self.manager.memory_info().rss, tuner.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            for kind, size in zip(self.seen, both, strict=True):
                self.seen[kind].append(size / 2**20)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def parts(self, kind: str) -> list[float]:
        """Medians of the parts of the run, in their order."""
        sizes = self.seen[kind]
        step = max(1, len(sizes) // PARTS)
        return [round(statistics.median(sizes[i : i + step]), 1) for i in range(0, step * min(PARTS, len(sizes)), step)]


def _tuner(manager: psutil.Process) -> psutil.Process | None:
    for process in manager.children(recursive=True):
        words = process.cmdline()
        if "--exp_params" in words and not words[0].endswith("sh"):
            return process
    return None


def _rates(ends: list[float]) -> list[float]:
    """Trials a minute in each part, by the median time that two take: a pause of the machine is left out."""
    step, found = len(ends) // PARTS, []
    for part in range(PARTS):
        here = ends[part * step : (part + 1) * step]
        pairs = [later - earlier for earlier, later in zip(here, here[2:], strict=False)]
        found.append(round(120 / max(statistics.median(pairs), 1e-3), 1))
    return found


def _page(url: str) -> float | None:
    """Seconds until a browser has loaded and drawn a page; nothing where there is no browser."""
    import shutil

    if not shutil.which("chromedriver"):
        return None
    from tests.nni.page import chromium

    with chromium() as browser:
        browser.get("about:blank")
        started = time.monotonic()
        browser.get(url)
        browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")
        return round(time.monotonic() - started, 2)
