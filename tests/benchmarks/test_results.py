"""RESULTS.md says what the records say: every claim, and where nothing was measured, that."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import results_table
from snn_nas.study.claim import every_rule
from snn_nas.study.statistics import family
from snn_nas.training_settings import REVISION
from tests import REPOSITORY

RULES = every_rule()
N = len(RULES)
LOW, HIGH = [0.70, 0.71, 0.72, 0.70, 0.71, 0.73], [0.80, 0.81, 0.82, 0.80, 0.81, 0.83]


def contestant(name: str, kind: str, accuracies: list[float], energy: float, locality: float = 1.0) -> dict[str, Any]:
    runs = [{"genotype": "g", "test": value, "lr": 1.0, "threshold": 1.0} for value in accuracies]
    means = {
        "test": sum(accuracies) / len(accuracies), "locality": locality,
        "energy_uJ": energy, "learning_energy_uJ": 3 * energy,
    }  # fmt: skip
    numbers = {key: {"mean": mean, "deviation": 0.01, "runs": 6} for key, mean in means.items()}
    return {"name": name, "kind": kind, "runs": runs, "passes": [3], "tuning": [], **numbers}


def compared(a: str, b: str, xs: list[float], ys: list[float], key: str = "test") -> dict[str, Any]:
    found = family({(a, b): (xs, ys)})[0]
    fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
    return {**fields, "measured": key, "verdict": found.verdict}


@pytest.fixture
def study() -> dict[str, Any]:
    """The mix beats every rule, frozen and chance, lies 10 points below bp, and costs less."""
    costs = [10.0, 11.0, 12.0, 10.5, 11.5, 12.5], [20.0, 21.0, 22.0, 20.5, 21.5, 22.5]
    return {
        "benchmark": "study", "name": "s", "data_title": "Fashion-MNIST", "profile": "45nm_fp32", "measured_on": "test",
        "finished": True, "least_runs": 6, "test_opened": [{"at": "2026", "reason": "r"}],
        "claim": {
            "genotype": "g as it was asked for", "tuning": {"lr": [1], "threshold": [1]},
            "settings": {"train": 4000, "training": {"epochs": 3}},
        },
        "contestants": [
            contestant("mix", "mix", HIGH, 11.0), *(contestant(rule, "single", LOW, 11.0, 0.3) for rule in RULES),
            contestant("frozen", "frozen", LOW, 5.0), contestant("random", "random", LOW, 11.0),
            contestant("bp", "bp", [x + 0.1 for x in HIGH], 21.0, 0.3),
        ],
        "accuracy": [
            *(compared("mix", name, HIGH, LOW) for name in (*RULES, "frozen", "random")),
            compared("mix", "bp", HIGH, [x + 0.1 for x in HIGH]),
        ],
        "others": [],
        "costs": [compared("mix", "bp", *costs, key=key) for key in ("energy_uJ", "learning_energy_uJ")],
        "conditions": {"device": "d", "versions": {"torch": "2"}, "commit": "c", "training": REVISION, "at": "t"},
    }  # fmt: skip


def claims(folder: Path, *records: dict[str, Any]) -> dict[int, str]:
    """The row of Fashion-MNIST in each claim's table."""
    for number, record in enumerate(records):
        path = folder / "benchmarks" / "results" / f"r{number}" / "study.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
    (folder / "benchmarks" / "results").mkdir(parents=True, exist_ok=True)
    text = results_table.page(folder / "benchmarks" / "results")
    sections = text.split("\n## ")
    return {
        n: next(line for line in sections[n].splitlines() if line.startswith("| Fashion-MNIST")) for n in range(1, 6)
    }


def test_without_records_nothing_is_measured(tmp_path: Path) -> None:
    assert all("not measured yet" in row for row in claims(tmp_path).values())


def test_each_claim_by_its_numbers(tmp_path: Path, study: dict[str, Any]) -> None:
    rows = claims(tmp_path, study)
    whole = f"**holds** ({N + 2} of {N + 2}; {N} of {N} registered rules); mix 81.17 % ± 1.00"
    assert whole in rows[1]
    assert "+10.00 (" in rows[1]
    assert "**does not hold**" in rows[2]  # ten points below bp
    assert "**does not hold**; mix 81.17 %" in rows[3]  # at locality 1, and more than four points
    assert "not measured yet" in rows[4]
    assert "inference: **holds**, mix 11.0 µJ, bp 21.0 µJ" in rows[5]
    assert "profile 45nm_fp32" in rows[5]
    assert "[r0](benchmarks/results/r0/study.json)" in rows[1]


def test_one_rule_that_is_not_beaten_is_enough(tmp_path: Path, study: dict[str, Any]) -> None:
    study["accuracy"][0] = compared("mix", RULES[0], HIGH, HIGH)
    assert f"**does not hold of all** ({N + 1} of {N + 2};" in claims(tmp_path, study)[1]


def test_a_claim_of_every_rule_is_open_while_one_was_not_tried(tmp_path: Path, study: dict[str, Any]) -> None:
    tried = [each for each in study["accuracy"] if each["b"] not in ("eprop", "ottt~usf")]
    row = claims(tmp_path, {**study, "accuracy": tried})[1]
    tally = f"({N} of {N}; {N - 2} of {N} registered rules; not tried: eprop, ottt~usf)"
    assert f"**open: not every rule was tried** {tally}" in row
    without_chance = [each for each in study["accuracy"] if each["b"] != "random"]
    row = claims(tmp_path, {**study, "accuracy": without_chance})[1]
    tally = f"({N + 1} of {N + 1}; {N} of {N} registered rules; not tried: random)"
    assert f"**open: not every rule was tried** {tally}" in row
    tried[0] = compared("mix", tried[0]["b"], HIGH, HIGH)  # one that was tried and not beaten decides all the same
    assert "**does not hold of all**" in claims(tmp_path, {**study, "accuracy": tried})[1]


def test_every_place_of_a_studys_runs_is_named(tmp_path: Path, study: dict[str, Any]) -> None:
    study["ran_at"] = {"commit": ["abc", "def"], "device": ["cpu", "gpu"]}
    claims(tmp_path, study)
    text = results_table.page(tmp_path / "benchmarks" / "results")
    assert "cpu and gpu, torch 2, commits abc, def, t; record: [" in text


def test_robustness_is_open_where_a_check_fails_or_a_run_diverged(tmp_path: Path, study: dict[str, Any]) -> None:
    number = {"mean": 0.5, "deviation": 0.1, "runs": 6}
    numbers = {"worst at 1/50": number, "corrupted": number}
    groups = {name: {"genotype": "g", "numbers": numbers, "corruptions": {"jpeg": [0.5]}} for name in ("mix", "bp")}
    record: dict[str, Any] = {
        "benchmark": "robustness", "data_title": "Fashion-MNIST", "split": "test", "images": 9, "groups": groups,
        "comparisons": [compared("mix", "bp", HIGH, LOW, key=key) for key in numbers],
        "plan": {"steps": 1, "queries": 1, "sharpness": [1.0]}, "failed_checks": [], "diverged": [], "test_opened": [],
        "conditions": {"device": "d", "versions": {"torch": "2"}, "commit": "c", "training": REVISION, "at": "t"},
    }  # fmt: skip
    assert "**holds**; worst at 1/50: mix 50.0 %" in claims(tmp_path, record)[4]
    failed = [{"network": "mix, seed 0", "name": "gradients are alive", "detail": "at 3%"}]
    row = claims(tmp_path, {**record, "failed_checks": failed})[4]
    assert "**open**; worst" in row
    assert "1 sanity checks do not hold" in row
    assert "| **holds**" in claims(tmp_path, study, record)[4]
    for run in study["contestants"][0]["runs"]:
        run["genotype"] = "another"
    assert "| of another mix than the study's: **holds**" in claims(tmp_path, study, record)[4]
    (tmp_path / "benchmarks" / "results" / "r1" / "study.json").unlink()
    row = claims(tmp_path, {**record, "diverged": ["bp, seed 3"]})[4]
    assert "**open**; worst" in row
    assert "diverged, and counted as 0: bp, seed 3" in row


def test_what_an_earlier_version_trained_is_said_to_be(tmp_path: Path, study: dict[str, Any]) -> None:
    assert "earlier version" not in claims(tmp_path, study)[1]
    study["conditions"]["training"] = REVISION - 1
    assert "earlier version" in claims(tmp_path, study)[1]
    del study["conditions"]["training"]
    assert "earlier version" in claims(tmp_path, study)[5]


def test_too_few_runs_claim_nothing(tmp_path: Path, study: dict[str, Any]) -> None:
    study["accuracy"] = [compared("mix", name, HIGH[:5], LOW) for name in (*RULES, "frozen", "random", "bp")]
    rows = claims(tmp_path, study)
    assert "**no claim: too few runs**" in rows[1]
    assert "**no claim: 5 runs, 6 are needed**" in rows[2]


def test_margins_are_of_the_interval(tmp_path: Path, study: dict[str, Any]) -> None:
    near = copy.deepcopy(study)
    near["accuracy"][-1] = compared("mix", "bp", HIGH, [x + 0.02 for x in HIGH])
    rows = claims(tmp_path, near)
    assert "**open**" in rows[2]  # two points below, but the interval reaches to half a point
    assert "**holds**" in rows[3]  # two points below, certainly less than four
    near["accuracy"][-1] = compared("mix", "bp", HIGH, HIGH)
    assert "**open**" in claims(tmp_path, near)[2]  # equal means, but the interval is wider than a point


def test_unfinished_studies_and_shut_test_splits_do_not_count(tmp_path: Path, study: dict[str, Any]) -> None:
    rows = claims(tmp_path, {**study, "finished": False}, {**study, "measured_on": "validation"})
    assert all("not measured yet" in row for row in rows.values())


def test_the_page_in_the_repository_is_that_of_its_records() -> None:
    assert (REPOSITORY / "RESULTS.md").read_text(encoding="utf-8") == results_table.page(results_table.RESULTS)
