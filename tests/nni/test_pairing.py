"""Forty trials, two at once, some dying early: every result stands beside the parameters that made it (nni#5726).

Once under our manager, where trials ask for "the next" parameters as NNI means them to, and once under a bare
`nnictl create`, where trials look their own record up. Both experiments run side by side, and stay up for the tests.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from selenium import webdriver

from snn_nas.nni import server
from snn_nas.nni.database import finals
from snn_nas.nni.messages import TITLE_WARNING
from snn_nas.nni.study import read_journal
from snn_nas.search import Journal
from tests.nni.page import Table, chromium, title
from tests.nni.rig import bare_environment, write

pytestmark = pytest.mark.nni

TRIALS = 40
LIMIT = 120
MEMORY, DISK = "MemoryError", "OSError: [Errno 28] No space left on device"


def started(config: Path, env: dict[str, str]) -> server.Server:
    """An experiment that runs. Stock NNI gives a tuner ten seconds to start, which a busy machine may not keep."""
    for _ in range(3):
        one = server.create(config, env=env)
        while not one.get("trial-jobs"):
            if (one.get("check-status") or {}).get("errors"):
                one.stop()
                break
            time.sleep(0.2)
        else:
            return one
    raise AssertionError("NNI's tuner did not start in time, three times over")


@pytest.fixture(scope="module")
def pair(runs: Path) -> Iterator[dict[str, server.Server]]:
    running = {}
    try:
        for name, env in (("mended", server.environment()), ("bare", bare_environment())):
            command, title = "python -m tests.contracts.toy_trial", f"{TITLE_WARNING}a search"
            config = write(runs, name, trials=TRIALS, command=command, title=title, seed=3)
            running[name] = started(config, env)
        end = time.monotonic() + LIMIT
        while any((one.get("check-status") or {}).get("status") != "DONE" for one in running.values()):
            assert time.monotonic() < end, [one.get("check-status") for one in running.values()]
            time.sleep(0.5)
        time.sleep(2.5)  # the tuner gives up on the last killed trial after its grace
        yield running
    finally:
        for one in running.values():
            one.stop()


@pytest.fixture(scope="module", params=["mended", "bare"])
def one(request: pytest.FixtureRequest, pair: dict[str, server.Server]) -> server.Server:
    return pair[request.param]


def folder(runs: Path, one: server.Server) -> Path:
    return runs / "runs" / one.id


def same(given: dict[str, Any], value: Any) -> bool:
    """Whether a result says the genotype that stands in the parameters, in both spellings."""
    return value["genotype"] == given["genotype"] == f"toy(a={given['a']},b={given['b']}) {{ x }}"


def test_rest(one: server.Server) -> None:
    jobs = one.get("trial-jobs")
    assert len(jobs) == TRIALS
    assert [job["sequenceId"] for job in jobs] == list(range(TRIALS))
    done = [job for job in jobs if job.get("finalMetricData")]
    assert len(done) >= TRIALS // 3
    assert any(job["status"] == "FAILED" for job in jobs)
    for job in done:
        given = json.loads(job["hyperParameters"][0])["parameters"]
        assert same(given, json.loads(json.loads(job["finalMetricData"][0]["data"]))), job


def test_database(runs: Path, one: server.Server) -> None:
    with sqlite3.connect(f"file:{folder(runs, one) / 'db' / 'nni.sqlite'}?mode=ro", uri=True) as db:
        given = dict(db.execute("select trialJobId, data from TrialJobEvent where data != ''"))
        reported = db.execute("select trialJobId, data from MetricData where type = 'FINAL'").fetchall()
    assert len(given) == TRIALS
    assert len(reported) >= TRIALS // 3
    for job, data in reported:
        assert same(json.loads(given[job])["parameters"], json.loads(json.loads(data))), job


def test_export(runs: Path, one: server.Server) -> None:
    target = runs / f"{one.id}.json"
    server.nnictl("experiment", "export", one.id, "--filename", str(target), "--type", "json")
    exported = json.loads(target.read_text())
    assert len(exported) >= TRIALS // 3
    for entry in exported:
        value = entry["value"]
        assert same(entry["parameter"], json.loads(value) if isinstance(value, str) else value), entry


def test_journal_has_every_trial_once(runs: Path, one: server.Server) -> None:
    results = read_journal(Journal(folder(runs, one) / "checkpoint" / "journal.jsonl"))
    assert len(results) == TRIALS == len({result.digest for result in results})
    assert {result.status for result in results} >= {"ok", "failed"}
    for result in results:
        assert result.ok or result.reason
    reasons = {result.reason for result in results if result.status == "failed"}
    assert reasons & {MEMORY, DISK}, "which trials get this far is chance, but hardly that none does"
    assert reasons <= {MEMORY, DISK, "RuntimeError: this one crashes", "the trial ended as FAILED without a result"}
    stored = [final.result for final in finals(folder(runs, one))]
    assert sorted(map(str, stored)) == sorted(str(r) for r in results if "without a result" not in r.reason)
    front = json.loads((folder(runs, one) / "checkpoint" / "pareto.json").read_text())["front"]
    assert max(member["metrics"]["accuracy"] for member in front) == max(
        result.metrics["accuracy"] for result in results if result.ok
    )


def listens_on(one: server.Server) -> set[str]:
    return {c.laddr.ip for c in one.process.net_connections() if c.status == psutil.CONN_LISTEN}


def test_ours_listens_on_loopback_alone(pair: dict[str, server.Server]) -> None:
    assert listens_on(pair["mended"]) == {"127.0.0.1"}
    assert listens_on(pair["bare"]) & {"::", "0.0.0.0"}, "has NNI changed? then manager.js may be needless"
    if shutil.which("ss"):
        lines = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout.splitlines()
        assert [line.split()[3] for line in lines if line.split()[3].endswith(f":{pair['mended'].port}")] == [
            f"127.0.0.1:{pair['mended'].port}"
        ]


def test_bare_warns_where_it_listens(runs: Path, pair: dict[str, server.Server]) -> None:
    log = (folder(runs, pair["bare"]) / "log" / "dispatcher.log").read_text()
    assert "SECURITY" in log
    assert str(pair["bare"].port) in log
    assert "SECURITY" not in (folder(runs, pair["mended"]) / "log" / "dispatcher.log").read_text()


def fetch(one: server.Server, path: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{one.port}{path}", headers=headers), timeout=10
        ) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_path_traversal_is_closed(pair: dict[str, server.Server], runs: Path) -> None:
    secret = runs / "secret.txt"
    secret.write_text("do not read me")
    up = "..%2F" * 20
    request = f"/api/v1/nni/trial-file/x/{up}{str(secret)[1:].replace('/', '%2F')}"
    assert fetch(pair["bare"], request)[1] == b"do not read me", "has NNI been mended? then manager.js may be needless"
    assert fetch(pair["mended"], request)[0] == 404
    directory = str(secret.parent)[1:].replace("/", "%2F")
    assert fetch(pair["mended"], f"/api/v1/nni/trial-file/{up}{directory}/secret.txt")[0] == 404
    job = pair["mended"].get("trial-jobs")[0]["trialJobId"]
    assert fetch(pair["mended"], f"/api/v1/nni/trial-file/{job}/trial.log")[0] in (200, 500)


def test_no_other_name_reaches_it(pair: dict[str, server.Server]) -> None:
    assert fetch(pair["mended"], "/api/v1/nni/check-status", Host="rebound.example")[0] == 403
    assert fetch(pair["mended"], "/api/v1/nni/check-status")[0] == 200


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as browser:
        yield browser


@pytest.mark.browser
def test_the_page_of_a_bare_manager_warns_and_ours_does_not(
    pair: dict[str, server.Server], browser: webdriver.Chrome
) -> None:
    assert title(browser, pair["bare"].url) == "UNPROTECTED, no login: a search"
    assert title(browser, pair["mended"].url) == "a search"
    warning = "open to EVERY network interface, without a login"
    assert warning in Table(browser, pair["bare"].url).parameters()
    assert warning not in Table(browser, pair["mended"].url).parameters()


@pytest.mark.browser
def test_page_has_the_objectives_as_columns_that_sort(
    pair: dict[str, server.Server], browser: webdriver.Chrome
) -> None:
    one = pair["mended"]
    truth = {
        job["trialJobId"]: json.loads(json.loads(job["finalMetricData"][0]["data"]))
        for job in one.get("trial-jobs")
        if job.get("finalMetricData")
    }
    table = Table(browser, one.url)
    titles = table.titles()
    for name in ("accuracy", "energy_uJ", "synops", "parameters", "latency_steps", "locality", "status"):
        assert f"{name} (metric)" in titles
    orders = []
    for _ in range(2):
        table.sort("energy_uJ (metric)")
        shown = [float(cell) for cell in table.column("energy_uJ (metric)") if cell]
        assert shown in (sorted(shown), sorted(shown, reverse=True))
        orders.append(shown)
    assert orders[0][0] != orders[1][0]
    seen = 0
    for job, energy in zip(table.column("ID"), table.column("energy_uJ (metric)"), strict=True):
        if energy:
            assert float(energy) == truth[job]["energy_uJ"]
            seen += 1
    assert seen >= 5
