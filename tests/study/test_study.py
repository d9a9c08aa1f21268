"""A study's jobs: equal tuning for everyone, resumable after every line, the test split opened once and last."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from neurons.errors import UserError
from snn_nas.conditions import commit, conditions
from snn_nas.evaluation import EvaluationSettings
from snn_nas.study import study as studies
from snn_nas.study.claim import Claim, claim
from snn_nas.study.jobs import TUNING_SEED, Job, Record
from snn_nas.study.opening import measured, open_test, openings
from snn_nas.study.record import summarise
from snn_nas.study.study import JOURNAL, Study
from snn_nas.study.table import table

MIX = "chain(T=2){conv(c=4,down=avg)@local/lif(threshold=0.5); conv(c=4)@gradient/lif; readout@delta~usf}"
TINY = {"data": "digits", "train": 80, "epochs": 1, "batch_size": 32, "energy_images": 10}


def asked(**changes: Any) -> Claim:
    given = {"genotype": MIX, "rules": ["dfa", "local"], "random": 2, "seeds": 2, "settings": TINY}
    return claim({**given, "tuning": {"lr": [0.5, 1.0], "threshold": [1.0, 0.5]}, **changes})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Jobs that train nothing: the accuracy says at which point of the grid they ran. The keys of those that ran."""
    ran: list[str] = []

    def run(job: Job, settings: EvaluationSettings, folder: Path) -> Record:
        ran.append(job.key)
        best = {"mix": (0.5, 0.5), "frozen": (1.0, 0.5)}.get(job.contestant, (0.5, 1.0))
        accuracy = 0.8 if (job.lr, job.threshold) == best else 0.5
        return {
            "key": job.key, "contestant": job.contestant, "phase": job.phase, "seed": job.seed, "status": "ok",
            "accuracy": accuracy + job.seed % 10 / 100, "seconds": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(studies, "run", run)
    return ran


def test_everyone_gets_the_same_tries_and_runs_at_the_best(tmp_path: Path, fake: list[str]) -> None:
    study = Study(asked(), tmp_path)
    assert study.run() is True
    assert len(fake) == len(set(fake)) == study.total == 7 * 4 + 6 * 2
    points: dict[str, set[str]] = {}
    for key in fake:
        phase, contestant, variant, point, seed = key.split("/")
        points.setdefault(f"{phase}/{contestant}/{variant}", set()).add(point)
        assert (int(seed) >= TUNING_SEED) == (phase == "tune")
    tried = {name: found for name, found in points.items() if name.startswith("tune")}
    assert len(tried) == 7  # five contestants of one network, and two assignments
    assert len({frozenset(found) for found in tried.values()}) == 1
    assert points["final/mix/0"] == {"lr0.5_threshold0.5"}
    assert points["final/frozen/0"] == {"lr1_threshold0.5"}
    assert points["final/bp/0"] == {"lr0.5_threshold1"}


def test_a_killed_study_goes_on_and_runs_nothing_twice(tmp_path: Path, fake: list[str]) -> None:
    whole = Study(asked(), tmp_path / "whole")
    whole.run()
    expected = list(fake)
    lines = (tmp_path / "whole" / JOURNAL).read_bytes().splitlines(keepends=True)
    for kept in (1, 9, len(lines) - 2):
        fake.clear()
        folder = tmp_path / str(kept)
        folder.mkdir()
        (folder / JOURNAL).write_bytes(b"".join(lines[:kept]) + lines[kept][:20])  # torn in the middle of a line
        study = Study(asked(), folder)
        assert study.run() is True
        assert fake == expected[kept - 1 :]
        assert study.results == whole.results
        assert (folder / JOURNAL).read_bytes() == b"".join(lines)


def test_a_folder_holds_one_study(tmp_path: Path, fake: list[str]) -> None:
    Study(asked(), tmp_path)
    with pytest.raises(UserError, match=r"holds another study, 'study' \(other seeds\)"):
        Study(asked(seeds=3), tmp_path)
    Study(asked(settings={**TINY, "root": "/elsewhere"}), tmp_path)  # where the data lie is no part of the claim


def test_no_job_starts_that_would_be_late(tmp_path: Path, fake: list[str]) -> None:
    study = Study(asked(), tmp_path)
    assert study.run(deadline=time.monotonic() + 0.9) is False  # the first says that a job takes a second
    assert len(fake) == 1
    assert study.run(deadline=time.monotonic() + 0.9) is False
    assert len(fake) == 1


def test_a_real_study_end_to_end(tmp_path: Path) -> None:
    grid = {"lr": [1.0], "threshold": [1.0]}
    small = asked(rules=["local"], random=0, tuning=grid)
    study = Study(small, tmp_path / "one")
    with pytest.raises(UserError, match="stays shut until every job"):
        open_test(study)
    assert study.run() is True
    assert summarise(study)["measured_on"] == "validation"

    def die(job: Job, accuracy: float, left: int) -> None:
        assert left == len(study.results) - 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_test(study, die)  # the machine goes down once one network is measured
    study = Study(small, tmp_path / "one")
    assert measured(study) is None
    assert summarise(study)["measured_on"] == "validation"
    seen: list[str] = []
    found = open_test(study, lambda job, accuracy, left: seen.append(job.key))
    assert set(found) == set(study.results)
    assert len(seen) == len(found) - 1
    assert len(openings(study)) == 2

    again = Study(small, tmp_path / "one")  # as a second command would
    assert again.done
    assert measured(again) == found
    assert open_test(again) == found
    assert len(openings(again)) == 2

    record = summarise(again)
    json.dumps(record, allow_nan=False)
    assert record["measured_on"] == "test"
    assert [each["b"] for each in record["accuracy"]] == ["local", "frozen", "bp"]
    assert record["ran_at"] == {"commit": [commit()], "device": [conditions()["device"]]}
    assert {each["measured"] for each in record["costs"]} == {"energy_uJ", "learning_energy_uJ"}
    assert all(each["significant"] is None for each in record["accuracy"])  # two runs claim nothing
    text = table(record)
    assert "no claim: 2 runs, 6 are needed" in text
    assert "opened 2 times" in text

    # two at once, in processes of their own: the same numbers, bit for bit
    parallel = Study(small, tmp_path / "two")
    assert parallel.run(workers=2) is True
    own = ("seconds", "device")  # half of the threads each
    plain = [{k: v for k, v in record.items() if k not in own} for record in study.results.values()]
    other = [{k: v for k, v in parallel.results[r["key"]].items() if k not in own} for r in plain]
    assert other == plain


def test_a_study_that_went_on_elsewhere_says_so(
    tmp_path: Path, fake: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = studies.run
    places = iter([{"commit": "one", "device": "cpu"}] * 3)

    def placed(job: Job, settings: EvaluationSettings, folder: Path) -> Record:
        return {**plain(job, settings, folder), **next(places, {"commit": "two", "device": "gpu"})}

    monkeypatch.setattr(studies, "run", placed)
    study = Study(asked(random=0, tuning={"lr": [1.0], "threshold": [1.0]}), tmp_path)
    study.run()
    assert summarise(study)["ran_at"] == {"commit": ["one", "two"], "device": ["cpu", "gpu"]}


def test_no_two_contestants_share_a_file() -> None:
    one, other = "chain(T=2){conv(c=4)@stdp/lif; readout@delta}", "chain(T=2){conv(c=4)@dfa/lif; readout@delta}"
    names = ("dfa(feedback=learned)", "dfa_feedback_learned_")
    files = {Job("final", name, 0, text, 0, 1.0, 1.0).model for name, text in zip(names, (one, other), strict=True)}
    assert len(files) == 2


def test_layers_that_learn_before_the_others_take_passes_of_their_own(tmp_path: Path, fake: list[str]) -> None:
    mixed = MIX.replace("local", "stdp")
    training = {**TINY, "epochs": 3, "layerwise_epochs": 2}
    study = Study(asked(genotype=mixed, rules=["softhebb", "usf"], settings=training, random=1), tmp_path)
    study.run()
    record = summarise(study)
    found = {row["name"]: row["passes"] for row in record["contestants"]}
    assert found == {"mix": [5], "softhebb": [7], "usf": [3], "frozen": [3], "random": found["random"], "bp": [3]}
    assert {*found["random"]} <= {3, 5, 7}
    random = next(row for row in record["contestants"] if row["name"] == "random")
    random["passes"] = [3, 5, 7]
    text = table(record)
    assert next(line for line in text.splitlines() if line.startswith("| random |")).split("|")[4] == " 3 to 7 "
    assert next(line for line in text.splitlines() if line.startswith("| softhebb |")).split("|")[4] == " 7 "


def test_the_table_says_whether_every_way_to_divide_the_runs_was_tried(tmp_path: Path, fake: list[str]) -> None:
    for seeds, said in ((2, "over every way to divide"), (12, "over 199,999 random ways to divide")):
        study = Study(
            asked(rules=["local"], seeds=seeds, random=0, tuning={"lr": [1.0], "threshold": [1.0]}),
            tmp_path / str(seeds),
        )
        study.run()
        assert f"{said} the runs;" in table(summarise(study))
