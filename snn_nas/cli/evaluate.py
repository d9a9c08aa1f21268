"""`snn-nas evaluate`: the accuracy of a saved network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from snn_nas.cli.paths import PATH


@click.command()
@click.argument("model", type=PATH)
@click.option("--data", help="Data set; by default the one that the network was trained on.")
@click.option("--root", type=PATH, help="Folder of the data sets; by default SNN_NAS_DATA.")
@click.option("--split", type=click.Choice(["validation", "test"]), default="validation", show_default=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def evaluate(model: Path, data: str | None, root: Path | None, split: str, form: str) -> None:
    """Measure the accuracy of MODEL, a .safetensors file that `train` or `search` wrote, or the folder that holds it.

    It is measured with batch norms folded into the weights, as the exported files hold them.
    """
    from snn_nas.cli.files import data_of, model_file
    from snn_nas.export.folding import folded
    from snn_nas.export.weights import load, read_header
    from snn_nas.training import accuracy

    path = model_file(model)
    header = read_header(path)
    network = folded(load(path))
    chosen = data_of(header, data, root, "train" if split == "test" else "search")
    images = chosen.test.open("snn-nas evaluate") if split == "test" else chosen.validation
    record = {
        "model": str(model),
        "data": chosen.name,
        "split": split,
        "images": len(images),
        "accuracy": accuracy(network, images),
        "genotype": header["genotype"],
    }
    if form == "json":
        click.echo(json.dumps(record))
        return
    click.echo(f"{record['accuracy']:.2%} of {len(images):,} {split} images of {chosen.title}")
