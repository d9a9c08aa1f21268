"""README's table of measurements says what the records say."""

from __future__ import annotations

from benchmarks import readme_table
from tests import REPOSITORY


def test_the_table_is_that_of_the_records() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    found = text.partition(readme_table.START)[2].partition(readme_table.END)[0]
    assert found == readme_table.table(), "run: python -m benchmarks.readme_table"
