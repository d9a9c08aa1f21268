"""`snn-nas report`: the page and pictures of a run."""

from __future__ import annotations

from pathlib import Path

import click

from snn_nas.cli.paths import PATH


@click.command()
@click.argument("run", type=PATH)
def report(run: Path) -> None:
    """Write report.html and its pictures into RUN, the folder of a search; a search still under way will do."""
    from snn_nas.report import write

    click.echo(str(write(run)))
