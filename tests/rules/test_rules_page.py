"""docs/rules.md says what the registry and the rules' own files say."""

from __future__ import annotations

from pathlib import Path

from docs import make_rules

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_page_is_what_its_script_writes() -> None:
    assert make_rules.page() == PAGE.read_text(encoding="utf-8"), "run: python docs/make_rules.py"
