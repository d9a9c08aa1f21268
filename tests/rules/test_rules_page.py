"""docs/rules.md says what the registry and the rules' own files say."""

from __future__ import annotations

from docs import make_rules as script


def test_the_page_is_what_its_script_writes() -> None:
    assert script.page() == script.PAGE.read_text(encoding="utf-8"), "run: python -m docs.make_rules"
