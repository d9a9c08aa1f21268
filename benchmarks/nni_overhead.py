"""Claim: what NNI itself costs a search, per trial and once.

Conditions: trials that compute nothing (a toy evaluator, no torch), 20 of them, one and two at once, on the local
service with our manager. A slot's time per trial is (last end - first start) x slots / trials; NNI's share of it is
what remains after the trial's own run, from process start to exit. Run it on a machine that does nothing else:

    python -m benchmarks.nni_overhead --out benchmarks/results/nni_overhead.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.common import record
from snn_nas.nni.experiment import Experiment

REPOSITORY = Path(__file__).parents[1]


def measure(folder: Path, trials: int, concurrency: int) -> dict[str, float]:
    """One experiment."""
    config = {
        "trialCommand": "python -m snn_nas.nni.trial --evaluator tests.contracts.toy:quick",
        "trialCodeDirectory": str(REPOSITORY),
        "trialConcurrency": concurrency,
        "maxTrialNumber": trials,
        "searchSpace": {name: {"_type": "choice", "_value": list(range(8))} for name in "ab"},
        "tuner": {
            "codeDirectory": str(REPOSITORY),
            "className": "snn_nas.nni.tuner.StrategyTuner",
            "classArgs": {"space": {"factory": "tests.contracts.toy:space"}, "strategy": "random"},
        },
        "trainingService": {"platform": "local"},
    }
    path = folder / f"overhead-{concurrency}.yml"
    path.write_text(yaml.safe_dump(config))
    began = time.monotonic()
    with Experiment(path, folder=folder / "runs") as experiment:
        created = time.monotonic()
        list(experiment.watch(interval=0.2))
        jobs = experiment.running.get("trial-jobs")
        done = time.monotonic()
    stopped = time.monotonic()
    own = [(job["endTime"] - job["startTime"]) / 1000 for job in jobs]
    span = (max(job["endTime"] for job in jobs) - min(job["startTime"] for job in jobs)) / 1000
    slot = span * concurrency / trials
    return {
        "concurrency": concurrency,
        "trials": trials,
        "create_s": round(created - began, 2),
        "first_trial_after_create_s": round(done - created - span, 2),
        "stop_s": round(stopped - done, 2),
        "slot_s_per_trial": round(slot, 3),
        "trial_own_s_median": round(statistics.median(own), 3),
        "nni_s_per_trial": round(slot - statistics.mean(own), 3),
        "trials_per_minute": round(60 * trials / span, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", help="write the record there too")
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    load = round(os.getloadavg()[0], 2)
    with tempfile.TemporaryDirectory() as folder:
        runs = [measure(Path(folder), options.trials, concurrency) for concurrency in (1, 2)]
    result = {
        "claim": "NNI's own cost per trial, beyond the trial's process",
        "cores": len(os.sched_getaffinity(0)),
        "load_before": load,
        "evaluator": "toy, no torch",
        "runs": runs,
    }
    record("nni_overhead", result, options.out)


if __name__ == "__main__":
    main()
