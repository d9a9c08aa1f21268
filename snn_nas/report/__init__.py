"""What a search found, as one self-contained page, as pictures and as tables for the terminal.

Nothing heavy is imported here: `write` brings in matplotlib and jinja2 when it is called.
"""

from __future__ import annotations

from pathlib import Path

from snn_nas.report.run import Run, Winner, load
from snn_nas.report.table import pareto_table, share_table

__all__ = ["Run", "Winner", "load", "pareto_table", "share_table", "write"]


def write(folder: Path) -> Path:
    """Write the pictures and the page of a run, and return the path of its `report.html`.

    Raises:
        UserError: the folder holds no run, or a file of it is broken; the message names the file.
    """
    from snn_nas.report.page import write_page

    return write_page(load(folder))
