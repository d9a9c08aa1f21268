"""`snn-nas export`: a saved network in the formats that chips, simulators and runtimes read."""

from __future__ import annotations

import json
from pathlib import Path

import click

from snn_nas.cli.paths import PATH


@click.command()
@click.argument("model", type=PATH, required=False)
@click.option("--nir", type=PATH, help="Write the network as NIR to this file.")
@click.option("--onnx", type=PATH, help="Write one time step as ONNX; needs snn-nas[onnx].")
@click.option("--activity", type=PATH, help="Write spike counts and connection map, .json or .csv.")
@click.option(
    "--images", type=click.IntRange(1), default=100, show_default=True, help="Validation images checked or counted."
)
@click.option("--check", is_flag=True, help="Run what was written on these images and compare every spike.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of --activity's .json and leave.")
@click.option("--data", help="Data set; by default the one that the network was trained on.")
@click.option("--root", type=PATH, help="Folder of the data sets; by default SNN_NAS_DATA.")
def export(
    model: Path | None,
    nir: Path | None,
    onnx: Path | None,
    activity: Path | None,
    images: int,
    check: bool,
    schema: bool,
    data: str | None,
    root: Path | None,
) -> int:
    """Export MODEL, a .safetensors file that `train` or `search` wrote, or the folder that holds it.

    What a format cannot say exactly is an error that names the node. Batch norms are folded into the weights, as they
    are where `evaluate` and `energy` measure. --check ends with exit code 1 where a spike differs.
    """
    from neurons.errors import UserError
    from snn_nas.cli.files import data_of, model_file
    from snn_nas.export import activity as record
    from snn_nas.export.folding import folded
    from snn_nas.export.weights import load, read_header

    if schema:
        click.echo(json.dumps(record.SCHEMA, indent=1))
        return 0
    if model is None:
        raise UserError("name a model, a .safetensors file or its folder")
    if nir is None and onnx is None and activity is None:
        raise UserError("say what to write: --nir FILE, --onnx FILE or --activity FILE")
    path = model_file(model)
    network = folded(load(path))
    if onnx is not None:
        from snn_nas.export.onnx_export import save_onnx

        save_onnx(network, onnx)
        click.echo(f"written to {onnx}")
    if nir is not None:
        from snn_nas.export.nir_export import outlook, save_nir

        save_nir(network, nir)
        click.echo(f"written to {nir}: {outlook(network.graph)}")
    if activity is None and not check:
        return 0
    seen = data_of(read_header(path), data, root).validation.first(images)
    if activity is not None:
        from snn_nas.energy.counter import count

        record.save(count(network, (x for x, _ in seen.batches(100))), network.graph, activity)
        click.echo(f"written to {activity}")
    differing = 0
    if check:
        from snn_nas.export.check import compare, player

        for name, file in (("NIR", nir), ("ONNX", onnx)):
            if file is None:
                continue
            found = compare(network, player(file), (x for x, _ in seen.batches(100)))
            differing += found.differing
            click.echo(f"{name}: {found}")
    return int(differing > 0)
