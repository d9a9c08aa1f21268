"""The queue runs what has no record, in order, stops in time, and goes on on another machine."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import gpu_queue
from benchmarks.gpu_queue import Job, Queue, read_jobs, take_up
from tests import REPOSITORY


@pytest.fixture(autouse=True)
def no_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_queue, "MARGIN", 0.3)
    monkeypatch.setattr(gpu_queue, "_conditions", lambda: {"device": "test"})


def python(code: str) -> str:
    return f'{{python}} -c "{code}"'


def writes(name: str) -> Job:
    """A job that writes a record of its own and says in `order` that it ran."""
    code = f"open(r'{{out}}/order','a').write('{name} '); open(r'{{record}}','w').write('{{{{}}}}')"
    return Job(name, python(code), least=0.0)


def queue(jobs: list[Job], out: Path, seconds: float = 60.0, **given: Any) -> Queue:
    return Queue(jobs, out, stop_at=time.monotonic() + seconds + gpu_queue.MARGIN, **given)


def outcomes(out: Path) -> list[tuple[str, str]]:
    return [(record["job"], record["outcome"]) for record in gpu_queue.Journal(out / "queue.jsonl").read()]


def test_jobs_run_in_order_and_never_twice(tmp_path: Path) -> None:
    jobs = [writes("a"), writes("b"), writes("c")]
    (tmp_path / "b.json").write_text("{}")  # b was done before
    queue(jobs, tmp_path).run()
    queue(jobs, tmp_path).run()
    assert (tmp_path / "order").read_text() == "a c "
    assert outcomes(tmp_path) == [("a", "done"), ("c", "done")]


def test_a_job_without_a_record_gets_one_that_says_how_it_went(tmp_path: Path) -> None:
    queue([Job("hello", python("print('12 passed')"), least=0.0)], tmp_path).run()
    record = json.loads((tmp_path / "hello.json").read_text())
    assert record["code"] == 0
    assert "12 passed" in record["tail"]
    assert record["conditions"] == {"device": "test"}


def test_time_up_stops_a_job_and_its_children_and_it_goes_on_later(tmp_path: Path) -> None:
    # it counts in a file of its own, through a child, and is done at 100
    child = tmp_path / "child.py"
    child.write_text(
        "import json, pathlib, sys, time\n"
        "at, record = map(pathlib.Path, sys.argv[1:])\n"
        "while (n := int(at.read_text() or 0) if at.exists() else 0) < 100:\n"
        "    at.with_suffix('.part').write_text(str(n + 1)); at.with_suffix('.part').replace(at); time.sleep(0.03)\n"
        "record.write_text('{}')\n"
    )
    parent = tmp_path / "parent.py"
    parent.write_text("import subprocess, sys; sys.exit(subprocess.run([sys.executable, *sys.argv[1:]]).returncode)")
    out = tmp_path / "out"
    job = Job("count", f"{{python}} {parent} {child} {{out}}/at {{record}}", least=0.0)
    queue([job], out, seconds=1.0).run()
    reached = int((out / "at").read_text())
    assert 0 < reached < 100
    assert outcomes(out) == [("count", "unfinished")]
    time.sleep(0.3)
    assert int((out / "at").read_text()) == reached  # nobody counts on
    queue([job], out).run()
    assert outcomes(out)[-1] == ("count", "done")


def test_a_failed_job_comes_after_the_others_next_time(tmp_path: Path) -> None:
    bad = Job("bad", python("open(r'{out}/order','a').write('bad '); raise SystemExit(3)"), least=0.0)
    queue([bad, writes("good")], tmp_path).run()
    assert outcomes(tmp_path) == [("bad", "failed"), ("good", "done")]
    queue([bad, writes("good"), writes("new")], tmp_path).run()
    assert (tmp_path / "order").read_text() == "bad good new bad "
    assert not (tmp_path / "bad.json").exists()


def test_what_waits_what_is_not_there_and_what_is_too_long(tmp_path: Path) -> None:
    jobs = [
        Job("second", python("print(2)"), after="first", least=0.0),
        Job("nowhere", python("print(0)"), needs="benchmarks/no_such_script.py", least=0.0),
        Job("long", python("print(9)"), least=5.0),
        writes("first"),
    ]
    one = queue(jobs, tmp_path)
    assert [one.state(job) for job in jobs] == ["waits", "not there", "next", "next"]
    one.run()
    assert outcomes(tmp_path) == [("first", "done"), ("second", "done")]


def test_a_record_that_calls_itself_unfinished_is(tmp_path: Path) -> None:
    job = Job("study", python("print(1)"), record="study/study.json")
    (tmp_path / "study").mkdir()
    for text, done in (("", False), ('{"finished": false}', False), ('{"finished": true}', True), ("{}", True)):
        (tmp_path / "study" / "study.json").write_text(text)
        assert job.done(tmp_path) is done


@pytest.mark.parametrize("packed", [True, False])
def test_another_machine_takes_up_what_came_back(tmp_path: Path, packed: bool) -> None:
    jobs, pack = [writes("a"), writes("b")], tmp_path / "back" / "all.tar.gz"
    queue(jobs[:1], tmp_path / "one", pack=pack).run()
    with tarfile.open(pack) as archive:
        assert "./a.json" in archive.getnames()
    other = tmp_path / "two"
    take_up(pack if packed else tmp_path / "one", other)
    (other / "a.json").write_text('{"newer": true}')
    take_up(pack if packed else tmp_path / "one", other)
    assert json.loads((other / "a.json").read_text()) == {"newer": True}  # what is there is left alone
    queue(jobs, other).run()
    assert outcomes(other) == [("a", "done"), ("b", "done")]
    assert (other / "order").read_text() == "a b "


def test_the_list_that_ships_is_sound() -> None:
    jobs = read_jobs(REPOSITORY / "benchmarks" / "gpu_queue.yml")
    names = [job.name for job in jobs]
    assert len(set(names)) == len(names)
    for job in jobs:
        assert not job.after or names.index(job.after) < names.index(job.name)
        command = job.command.format(python="python", out="OUT", record="OUT/r.json", minutes="8.5")
        for word in command.split():
            if word.startswith("benchmarks."):
                assert (REPOSITORY / f"{word.replace('.', '/')}.py").exists(), word
            if word.startswith("experiments/"):
                assert (REPOSITORY / word).exists(), word


def test_the_command_line(tmp_path: Path) -> None:
    listed = tmp_path / "jobs.yml"
    listed.write_text(yaml.safe_dump({"jobs": [{"name": "x", "command": "{python} -c 1", "least": 0.0}]}))
    words = [sys.executable, "benchmarks/gpu_queue.py", "--jobs", str(listed), "--out", str(tmp_path / "out")]
    done = subprocess.run([*words, "--list"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["x", "next"])
    refused = subprocess.run([*words, "--only", "y"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr == "gpu_queue: --only: there is no job 'y'; there is x\n"
