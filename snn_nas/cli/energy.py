"""`snn-nas energy`: what a saved network costs, on named profiles."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from snn_nas.energy.profile import Profile


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
@click.option(
    "--profile", "names", multiple=True, help="A profile's name or YAML file; may be repeated. Default: 45nm_fp32."
)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--data", help="Data set; by default the one that the network was trained on.")
@click.option("--root", type=click.Path(path_type=Path), help="Folder of the data sets; by default SNN_NAS_DATA.")
@click.option("--images", type=click.IntRange(1), default=500, show_default=True, help="Validation images counted.")
@click.option("--learning", is_flag=True, help="The energy of learning from one sample, instead of inference.")
@click.option("--list", "listing", is_flag=True, help="List the profiles and leave.")
def energy(
    model: Path | None,
    names: tuple[str, ...],
    form: str,
    data: str | None,
    root: Path | None,
    images: int,
    learning: bool,
    listing: bool,
) -> None:
    """Count the operations of MODEL on validation images and price them, layer by layer and cause by cause.

    MODEL is a .safetensors file that `train` or `search` wrote.
    """
    from neurons.errors import UserError
    from snn_nas.energy.profile import DEFAULT, profile, profiles

    if listing:
        for name in profiles():
            each = profile(name)
            click.echo(f"{name:22} {each.kind:9} {each.title}")
        return
    if model is None:
        raise UserError("name a model, a .safetensors file; or --list the profiles")
    chosen = [profile(name) for name in names or (DEFAULT,)]
    rows, records = _measure(model, chosen, data, root, images, learning)
    if form == "json":
        click.echo(json.dumps(records, indent=1))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        _draw(rows, records)


def _measure(
    model: Path, chosen: list[Profile], data: str | None, root: Path | None, images: int, learning: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    from snn_nas.cli.files import data_of
    from snn_nas.energy.counter import count
    from snn_nas.energy.inference import inference_energy
    from snn_nas.energy.learning import learning_energy
    from snn_nas.energy.twin import compare
    from snn_nas.export.weights import load, read_header

    header = read_header(model)
    network = load(model)
    split = data_of(header, data, root).validation.first(images)
    activity = count(network, (x for x, _ in split.batches(100)))
    price = learning_energy if learning else inference_energy
    rows: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    for each in chosen:
        cost = price(activity, network.graph, each)
        rows += cost.rows()
        record = {
            "model": str(model),
            **cost.to_json(),
            "synops": activity.total("synops") + activity.total("macs"),
            "mean_rate": activity.mean_rate,
            "spikes_per_synapse": activity.spikes_per_synapse,
            "T": activity.T,
            "images": activity.samples,
        }
        if each.e_mac is not None and each.e_ac is not None:
            record["rate_twin"] = compare(activity, network.graph, each).to_json()
        records.append(record)
    return rows, records


def _draw(rows: list[dict[str, Any]], records: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for record in records:
        mine = [row for row in rows if row["profile"] == record["profile"]]
        what = "sample learned" if record["what"] == "learning" else "inference"
        table = Table(title=f"Energy per {what}, µJ, on {record['profile']} ({record['kind']})")
        for column in list(mine[0])[1:]:
            table.add_column(column.removesuffix("_uJ"), justify="left" if column == "layer" else "right")
        for row in mine:
            table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in list(row.values())[1:]))
        total = sum(row["total_uJ"] for row in mine)
        table.add_section()
        table.add_row("total", *[""] * (len(mine[0]) - 3), f"{total:.4g}")
        console.print(table)
        console.print(
            f"{record['synops']:,.0f} synaptic operations, mean rate {record['mean_rate']:.2%}, "
            f"{record['spikes_per_synapse']:.2f} spikes a synapse, T={record['T']}, mean of {record['images']} images",
            highlight=False,
        )
        if record.get("missing"):
            console.print(f"not in the sum, for this profile has no figure for it: {', '.join(record['missing'])}")
        if "rate_twin" in record:
            console.print(record["rate_twin"]["verdict"], highlight=False, soft_wrap=True)
