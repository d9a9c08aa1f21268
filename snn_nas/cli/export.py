"""`snn-nas export`: a saved network in the formats that chips and simulators read."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--nir", type=click.Path(path_type=Path), help="Write the network as NIR to this file.")
def export(model: Path, nir: Path | None) -> None:
    """Export MODEL, a .safetensors file that `train` or `search` wrote.

    What a format cannot say exactly is an error that names the node: an exported network gives the same spikes.
    """
    from neurons.errors import UserError
    from snn_nas.export.nir_export import save_nir
    from snn_nas.export.weights import load

    if nir is None:
        raise UserError("say what to write: --nir FILE")
    save_nir(load(model), nir)
    click.echo(f"written to {nir}")
