"""Whatever a file holds, its reader returns, or says in one line what is wrong, in bounded time and memory.

Two seconds a reader among the other tests; SNN_NAS_FUZZ_SECONDS says how many for all together, a minute in CI. Case n
of a seed is always the same; what a failure prints runs it again. (Promises 7 and 8.)
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY
from tests.fuzz.__main__ import run
from tests.fuzz.readers import READERS, GenotypeText

SECONDS = float(os.environ.get("SNN_NAS_FUZZ_SECONDS", "10"))
SEED = int(os.environ.get("SNN_NAS_FUZZ_SEED", "0"))


@pytest.mark.parametrize("name", READERS)
def test_a_reader_returns_or_says_what_is_wrong(name: str, tmp_path: Path) -> None:
    """In a process of its own, for a file may crash a library."""
    seconds = SECONDS / len(READERS)
    words = [name, "--seconds", str(seconds), "--seed", str(SEED), "--folder", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=60 + 3 * seconds,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}\n{[p.name for p in tmp_path.iterdir()]}"
    assert "cases" in done.stdout
    print(done.stdout)


class Careless(GenotypeText):
    """A reader that does what none may."""

    fault = ""

    def read(self, path: Path) -> None:
        match self.fault:
            case "lines":
                from neurons.errors import UserError

                raise UserError("two\nlines")
            case "crash":
                raise KeyError("x")
            case "memory":
                bytearray(os.urandom(1) * (700 << 20))
            case "time":
                total = 0
                for number in range(10**10):
                    total += number
                    if total > 10**15:
                        break


@pytest.mark.parametrize("fault", ["lines", "crash", "memory", "time"])
def test_the_fuzzer_sees_each_fault(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Careless, "fault", fault)
    monkeypatch.setitem(READERS, "careless", Careless)
    monkeypatch.setattr("tests.fuzz.__main__.CASE_SECONDS", 0.5)
    if fault == "crash":
        with pytest.raises(KeyError):
            run("careless", 0, 0, 5.0, tmp_path)
    else:
        assert run("careless", 0, 0, 5.0, tmp_path) == 1
    assert "--seed 0 --first 0" in capsys.readouterr().out
    assert (tmp_path / "case0.txt").exists(), "the case is kept"


def test_a_case_is_the_same_on_every_run(tmp_path: Path) -> None:
    for name, kind in READERS.items():
        reader = kind(tmp_path)
        if name in ("nir", "weights"):
            continue  # HDF5 writes the time into a file, and weights are the machine's
        for number in range(20):
            for path in (tmp_path / "a", tmp_path / "b"):
                reader.spoil(random.Random(f"{name} 0 {number}"), path)
            assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
