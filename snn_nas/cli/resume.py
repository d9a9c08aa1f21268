"""`snn-nas resume`: a search under NNI that was stopped or killed goes on where it was."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from snn_nas.cli.paths import PATH


@click.command()
@click.argument("run", type=PATH)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where NNI's page listens: it has NO login.")
@click.option("--port", type=click.IntRange(1024, 65535), help="Its port; by default a free one.")
@click.option("--keep", is_flag=True, help="Leave NNI's web page running at the end.")
@click.option("--final-epochs", type=click.IntRange(1), help="Epochs of the winner; by default three times a trial's.")
def resume(run: Path, host: str, port: int | None, keep: bool, final_epochs: int | None) -> None:
    """Go on with the search in RUN, such as runs/ID, as it was started, to its winner and report.

    Finished trials are kept, those that were under way run again. A search of --in-process goes on by its own command.
    """
    from rich.console import Console

    from snn_nas.cli.configuration import read
    from snn_nas.cli.search import run as follow
    from snn_nas.nni import database, server
    from snn_nas.nni.config import write_config
    from snn_nas.nni.experiment import Experiment

    host = server.address(host)
    run = run.resolve()
    config = database.configuration(run)
    with tempfile.TemporaryDirectory() as folder:
        path = write_config(config, Path(folder))
        asked = read(path)
        experiment = Experiment(path, folder=run.parent, host=host, port=port, keep=keep, resumed=run.name)
    follow(experiment, asked, _origin(run), final_epochs, Console())


def _origin(run: Path) -> Path:
    """The configuration file that the search was started with, as it was written down."""
    from snn_nas.search.files import noted

    config = noted(run / "search.json", "config")
    return Path(config) if isinstance(config, str) else run / "db" / "nni.sqlite"
