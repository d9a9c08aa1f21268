"""`snn-nas view`: NNI's page of a finished search."""

from __future__ import annotations

from pathlib import Path

import click

from snn_nas.cli.paths import PATH


@click.command()
@click.argument("run", type=PATH)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the page listens: it has NO login.")
@click.option("--port", type=click.IntRange(1024, 65535), help="Its port; by default a free one.")
def view(run: Path, host: str, port: int | None) -> None:
    """Show the finished search in RUN in NNI's web page again, until Ctrl-C."""
    from neurons.errors import UserError
    from snn_nas.nni import server

    if not (run / "db").is_dir():
        raise UserError(f"{run} is no folder of a search under NNI: it has no db")
    host = server.address(host)
    shown = server.view(run.resolve().name, host=host, port=port)
    try:
        click.echo(f"{shown.url}   (Ctrl-C ends it)")
        while shown.alive():
            shown.process.wait()
    finally:
        shown.stop()
