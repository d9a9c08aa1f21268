"""docs/energy.md and docs/export.md hold the tables of the profiles and of the records as they are now."""

import json
from pathlib import Path

import pytest

from docs import make_energy as script
from snn_nas.energy.profile import profiles


@pytest.mark.parametrize("page", script.PAGES, ids=lambda page: page.name)
def test_the_page_is_what_the_script_writes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert script.filled(text, script.tables()) == text, "run: python docs/make_energy.py"
    blocks = {line[5:-4] for line in text.splitlines() if line.startswith("<!-- ") and "/" not in line}
    assert blocks <= {*script.tables(), *(f"{name} output" for name in script.COMMANDS)}
    for picture in (part.partition(")")[0] for part in text.split("](images/")[1:]):
        assert (script.HERE / "images" / picture).is_file()


def test_every_profile_and_every_counter_is_in_the_tables() -> None:
    tables = script.tables()
    assert all(f"| `{name}` |" in tables["profiles"] for name in profiles())
    assert "| `loihi2` | assumed | Intel 4, int8 | unknown |" in tables["profiles"]
    assert tables["counters"].count("\n") == 9


def test_the_record_of_the_three_counters_is_what_they_count() -> None:
    """Ours and brute force are counted here again; `benchmarks/energy_counter.py` asks the others."""
    record = json.loads(script.RECORD.read_text(encoding="utf-8"))
    assert record["holds"]
    for case, found in record["three_counters"].items():
        analog = case.startswith("an image")
        assert found["ours_acs"] + found["ours_macs"] == found["connections" if analog else "not_zero"], case
