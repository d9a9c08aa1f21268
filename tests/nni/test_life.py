"""The life of an experiment: it ends, fails with its reason, resumes after a kill, and leaves nothing behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from neurons.errors import UserError
from snn_nas.nni.database import finals
from snn_nas.nni.experiment import Experiment
from snn_nas.search import Ordered, create, objectives
from tests.contracts.toy import ToySpace, score
from tests.nni.rig import TOY, left_over, write

pytestmark = pytest.mark.nni


def expected_order(trials: int, seed: int) -> list[str]:
    """The proposals of an undisturbed search, told in order."""
    ordered = Ordered(create("evolution", ToySpace(), objectives(["accuracy"]), seed, population=6), lag=2)
    for _ in range(trials):
        genotype = ordered.ask()
        assert genotype is not None
        ordered.tell(score(genotype))
    return ordered.order


def test_search_ends_and_leaves_nothing(runs: Path) -> None:
    with Experiment(write(runs, "plain", trials=99, seed=5), folder=runs / "runs", trials=10) as experiment:
        last = list(experiment.watch())[-1]
        assert (last.done, last.total, last.failed) == (10, 10, 0)
        results = experiment.results()
        assert last.best_accuracy == max(result.metrics["accuracy"] for result in results)
        order = json.loads((experiment.folder / "checkpoint" / "search.json").read_text())["search"]["order"]
        assert order[:10] == expected_order(10, 5)
        assert {result.seed for result in results} != {0}
    assert not left_over(runs)


def test_resume_after_kill_equals_an_undisturbed_search(runs: Path) -> None:
    command = "python -m snn_nas.nni.trial --evaluator tests.contracts.toy:quick sleep=0.3"
    config = write(runs, "killed", trials=10, command=command, seed=8)
    experiment = Experiment(config, folder=runs / "runs")
    experiment.start()
    try:
        for snapshot in experiment.watch():
            if snapshot.done >= 3:
                break
        experiment.running.process.kill()
        killed = time.monotonic()
        while left_over(runs):
            assert time.monotonic() - killed < 15, left_over(runs)
            time.sleep(0.1)
        before = experiment.results()
        experiment = Experiment(config, folder=runs / "runs", resumed=experiment.id)
        experiment.start()
        list(experiment.watch())
        results = experiment.results()
        jobs = experiment.running.get("trial-jobs")
    finally:
        experiment.stop()
    assert results[: len(before)] == before
    assert len(results) == 10 == len({result.digest for result in results})
    order = json.loads((experiment.folder / "checkpoint" / "search.json").read_text())["search"]["order"]
    assert order[:10] == expected_order(10, 8)
    assert sorted(job["sequenceId"] for job in jobs) == list(range(10))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"space": "fragile_space"}, "RuntimeError: no more samples"),
        ({"objectives": ["acuracy"]}, "there is no objective 'acuracy'; did you mean 'accuracy'?"),
    ],
    ids=["raises", "misspelt"],
)
def test_failing_tuner_ends_the_search_with_its_reason(runs: Path, change: dict[str, str], reason: str) -> None:
    with Experiment(write(runs, "failing", trials=30, **change), folder=runs / "runs") as experiment:
        began = time.monotonic()
        with pytest.raises(UserError, match="tuner failed") as caught:
            list(experiment.watch())
        assert time.monotonic() - began < 20
    assert str(caught.value) == f"The tuner failed: {reason}"
    assert not left_over(runs)


def test_small_space_is_used_up_and_kept_in_view(runs: Path) -> None:
    config = write(runs, "small", trials=10, space="small_space")
    with Experiment(config, folder=runs / "runs", keep=True) as experiment:
        assert list(experiment.watch())[-1].status == "TUNER_NO_MORE_TRIAL"
        assert len(experiment.results()) == 4
    try:
        assert experiment.running.get("check-status")["status"] == "VIEWED"
        assert len(experiment.running.get("trial-jobs")) == 4
        assert {c.laddr.ip for c in experiment.running.process.net_connections()} == {"127.0.0.1"}
    finally:
        experiment.stop()
    assert not left_over(runs)


SLOW = r"""
const { prototype } = require('module');
const compile = prototype._compile;
const noticed = new Set();
globalThis.slowNotice = trial => noticed.add(trial);
globalThis.slowWait = async (trial, metric) => {
    while (metric.includes('"FINAL"') && !noticed.has(trial)) await new Promise(done => setTimeout(done, 20));
    await new Promise(done => setTimeout(done, 200));
};
prototype._compile = function (content, filename) {
    if (filename.endsWith('core/nniDataStore.js')) {
        content = content
            .replace(/^ +storeTrialJobEvent\((\w+), (\w+).*/m, '$& if ($1 === "SUCCEEDED") slowNotice($2);')
            .replace(/async storeMetricData\((\w+), (\w+)\).*/, '$& await slowWait($1, $2);');
    }
    return compile.call(this, content, filename);
};
"""


def test_a_tuner_of_nnis_own_whose_results_take_long_to_store(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result is stored only after its trial's end was noticed: told first, it would be TPE's end as well."""
    slow = runs / "slow.js"
    slow.write_text(SLOW)
    monkeypatch.setenv("NODE_OPTIONS", f"--require={slow}")
    command = f"python -m snn_nas.nni.trial --evaluator {TOY}quick --space '{{factory: \"{TOY}space\"}}'"
    config = write(runs, "tpe", trials=3, command=command, tuner="TPE")
    with Experiment(config, folder=runs / "runs", concurrency=1) as experiment:
        assert list(experiment.watch())[-1].done == 3
    for final in finals(experiment.folder):
        assert final.result is not None
        assert final.result.genotype == f"toy(a={final.parameters['a']},b={final.parameters['b']}) {{ x }}"
