from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas.search import Journal, Result
from snn_nas.search.files import write_json
from snn_nas.search.result import STATUSES

RECORDS = [{"a": 1}, {"b": "zwei\n"}, {"c": [1.5, None]}]


def filled(folder: Path) -> Journal:
    journal = Journal(folder / "new" / "journal.jsonl")
    assert journal.read() == []
    for record in RECORDS:
        journal.append(record)
    return journal


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    assert filled(tmp_path).read() == RECORDS


def test_torn_at_any_byte(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    content = journal.path.read_bytes()
    for cut in range(len(content)):
        journal.path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert journal.read() == RECORDS[:whole]
        journal.append({"next": cut})
        assert journal.read() == [*RECORDS[:whole], {"next": cut}]


@pytest.mark.parametrize("damage", [b"garbage", b"", b"[1]", b"\xff\xfe", b'{"b": 1'])
def test_corruption_elsewhere_names_the_line(tmp_path: Path, damage: bytes) -> None:
    journal = filled(tmp_path)
    lines = journal.path.read_bytes().split(b"\n")
    lines[1] = damage
    journal.path.write_bytes(b"\n".join(lines))
    with pytest.raises(UserError, match="line 2 is no JSON object"):
        journal.read()


def test_nothing_that_is_no_json_gets_in(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append({"a": math.nan})
    assert journal.read() == RECORDS


def test_write_json_leaves_the_old_file_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert path.read_text() == '{"a": 1}'


texts = st.text(max_size=20)
metrics = st.dictionaries(texts, st.floats(), max_size=5)
results = st.builds(
    Result,
    texts,
    texts,
    st.sampled_from(STATUSES),
    metrics,
    texts,
    st.integers(0),
    st.integers(0),
    st.lists(st.floats(), max_size=5).map(tuple),
)


def test_all_of_it_is_on_the_disk_before_anyone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut keeps what was synced: the line when `append` returns, the new file before it takes its name."""
    synced: list[bytes] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").read_bytes()))
    journal = Journal(tmp_path / "journal.jsonl")
    for number, record in enumerate(RECORDS, start=1):
        journal.append(record)
        assert len(synced) == number
        assert synced[-1] == journal.path.read_bytes()
    replace = Path.replace

    def observed(part: Path, target: Path) -> Path:
        assert synced[-1] == part.read_bytes() == b'{"a": 1}'
        return replace(part, target)

    monkeypatch.setattr(Path, "replace", observed)
    write_json(tmp_path / "state.json", {"a": 1})
    assert (tmp_path / "state.json").read_text() == '{"a": 1}'


@given(results)
def test_results_survive_json(result: Result) -> None:
    assert Result.from_json(result.to_json()) == result
    assert all(math.isfinite(value) for value in [*result.metrics.values(), *result.curve])


def test_a_result_of_an_older_journal_is_read() -> None:
    old = {key: value for key, value in Result("g", "d").to_json().items() if key != "curve"}
    assert Result.from_json(old) == Result("g", "d")


def test_results_are_checked() -> None:
    with pytest.raises(UserError, match="status is one of"):
        Result("g", "d", "fine")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="epochs"):
        Result.from_json({key: value for key, value in Result("g", "d").to_json().items() if key != "epochs"})
    for wrong in ({"metrics": [1]}, {"metrics": {"accuracy": "high"}}, {"curve": 5}, {"curve": ["x"]}):
        with pytest.raises(UserError, match="other types"):
            Result.from_json({**Result("g", "d").to_json(), **wrong})
