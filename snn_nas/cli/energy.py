"""`snn-nas energy`: what saved networks cost, on named profiles."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snn_nas.cli.paths import PATH

if TYPE_CHECKING:
    from snn_nas.energy.activity import Activity, Conventions
    from snn_nas.energy.profile import Profile
    from snn_nas.graph import Graph


@click.command()
@click.argument("models", metavar="MODEL...", nargs=-1, type=PATH)
@click.option(
    "--profile", "names", multiple=True, help="A profile's name or YAML file; may be repeated. Default: 45nm_fp32."
)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--figures", type=PATH, help="Draw PNG pictures into this folder.")
@click.option("--learning", is_flag=True, help="The energy of learning from one sample, instead of inference.")
@click.option("--data", help="Data set; by default the one that the network was trained on.")
@click.option("--root", type=PATH, help="Folder of the data sets; by default SNN_NAS_DATA.")
@click.option("--images", type=click.IntRange(1), default=500, show_default=True, help="Validation images counted.")
@click.option(
    "--static", type=click.Choice(["once", "every_step"]), default="once", show_default=True,
    help="Compute a current that is the same at every step once, or anew.",
)  # fmt: skip
@click.option(
    "--graded", type=click.Choice(["events", "units", "dense"]), default="events", show_default=True,
    help="Sums and averages of spikes cost a MAC each, an accumulation for each spike in them, or are dense.",
)  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="List the profiles and leave.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of a profile of your own and leave.")
def energy(
    models: tuple[Path, ...],
    names: tuple[str, ...],
    form: str,
    figures: Path | None,
    learning: bool,
    data: str | None,
    root: Path | None,
    images: int,
    static: Any,
    graded: Any,
    listing: bool,
    schema: bool,
) -> None:
    """Count the operations of each MODEL on validation images and price them, layer by layer and cause by cause.

    A MODEL is a .safetensors file that `train` or `search` wrote, or the folder that holds it.
    """
    from neurons.errors import UserError
    from snn_nas.energy.activity import Conventions
    from snn_nas.energy.profile import DEFAULT, SCHEMA, profile, profiles

    if schema:
        click.echo(json.dumps(SCHEMA, indent=1))
        return
    if listing:
        for name in profiles():
            each = profile(name)
            click.echo(f"{name:22} {each.kind:9} {each.title}{'' if each.known else ': no figures'}")
        return
    if not models:
        raise UserError("name a model, a .safetensors file or its folder; or --list the profiles")
    chosen = [profile(name) for name in names or (DEFAULT,)]
    counted = [_count(model, data, root, images, Conventions(static, graded)) for model in models]
    found = [(each, list(_priced(each, chosen, learning))) for each in counted]
    records = [record for _, priced in found for _, record in priced]
    rows = [row for _, priced in found for rows, _ in priced for row in rows]
    if form == "json":
        click.echo(json.dumps(records, indent=1))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    else:
        for _, priced in found:
            for its_rows, record in priced:
                _draw(its_rows, record, titled=len(models) > 1)
    if figures is not None:
        for path in _picture(counted, chosen, figures, learning):
            click.echo(f"drawn: {path}", err=form != "table")


@dataclass(frozen=True)
class _Counted:
    """A network and what it was seen to do."""

    name: str
    header: dict[str, Any]
    data: str
    graph: Graph
    activity: Activity
    accuracies: tuple[float, ...]


def _count(model: Path, data: str | None, root: Path | None, images: int, conventions: Conventions) -> _Counted:
    from snn_nas.cli.files import data_of, model_file
    from snn_nas.energy.anytime import watch
    from snn_nas.export.folding import folded
    from snn_nas.export.weights import load, read_header

    path = model_file(model)
    header = read_header(path)
    network = folded(load(path))
    chosen = data_of(header, data, root)
    activity, accuracies = watch(network, chosen.validation.first(images).batches(100), conventions)
    return _Counted(str(model), header, chosen.name, network.graph, activity, accuracies)


def _priced(
    counted: _Counted, chosen: list[Profile], learning: bool
) -> Iterator[tuple[list[dict[str, Any]], dict[str, Any]]]:
    """For each profile: the layers' rows, and the record of everything."""
    from snn_nas.energy.anytime import stops
    from snn_nas.energy.inference import inference_energy
    from snn_nas.energy.learning import learning_energy
    from snn_nas.energy.twin import compare, twin_energy

    activity, graph = counted.activity, counted.graph
    price = learning_energy if learning else inference_energy
    for each in chosen:
        cost = price(activity, graph, each)
        record = {
            "model": counted.name,
            "genotype": counted.header["genotype"],
            "data": counted.data,
            **cost.to_json(),
            "conventions": asdict(activity.conventions),
            "synops": activity.total("synops"),
            "macs": activity.total("macs"),
            "mean_rate": activity.mean_rate,
            "spikes_per_synapse": activity.spikes_per_synapse,
            "T": activity.T,
            "images": activity.samples,
            "accuracy": counted.accuracies[-1],
        }
        twin: dict[str, float] = {}
        if not learning:
            record["by_step"] = [stop.to_json() for stop in stops(activity, counted.accuracies, graph, each)]
            if each.e_mac is not None and each.e_ac is not None:
                twin = twin_energy(activity, graph, each).by_layer
                record["rate_twin"] = compare(activity, graph, each).to_json() | {"by_layer_uJ": twin}
        rows = [{**row, "rate_twin_uJ": twin.get(str(row["layer"])), "model": counted.name} for row in cost.rows()]
        yield rows, record


def _picture(counted: list[_Counted], chosen: list[Profile], folder: Path, learning: bool) -> list[Path]:
    from snn_nas.energy.anytime import stops
    from snn_nas.energy.inference import inference_energy
    from snn_nas.energy.learning import learning_energy
    from snn_nas.energy.profile import profiles
    from snn_nas.energy.tables import by_profile
    from snn_nas.report.energy import Measured, save

    price = learning_energy if learning else inference_energy
    own = [each for each in chosen if each.name not in profiles()]
    networks = [
        Measured(
            name=Path(each.name).parent.name if each.name.endswith(".safetensors") else Path(each.name).name,
            costs=[price(each.activity, each.graph, on) for on in chosen],
            everywhere=by_profile(each.activity, each.graph, [*profiles(), *own]),
            curve=stops(each.activity, each.accuracies, each.graph, chosen[0]),
        )
        for each in counted
    ]
    return save(networks, folder)


def _draw(rows: list[dict[str, Any]], record: dict[str, Any], *, titled: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    what = "sample learned" if record["what"] == "learning" else "inference"
    title = f"Energy per {what}, µJ, on {record['profile']} ({record['kind']})"
    # Without frames, eight columns fit into a terminal of 80.
    table = Table(title=f"{record['model']}\n{title}" if titled else title, box=SIMPLE_HEAD, padding=0)
    twin = "rate_twin" in record
    columns = ["layer", *(name for name in rows[0] if name.endswith("_uJ") and any(row[name] for row in rows))]
    for column in columns:
        heading = column.removesuffix("_uJ").replace("_", " ")
        table.add_column(heading, justify="left" if column == "layer" else "right", no_wrap=True)
    for row in rows:
        cells = [row[column] for column in columns]
        table.add_row(*("" if v is None else f"{v:.3g}" if isinstance(v, float) else str(v) for v in cells))
    table.add_section()
    totals = {"layer": "total", "total_uJ": f"{record['total_uJ']:.3g}"}
    if twin:
        totals["rate_twin_uJ"] = f"{record['rate_twin']['twin_uJ']:.3g}"
    table.add_row(*(totals.get(column, "") for column in columns))
    console.print(table)
    console.print(
        f"{record['synops']:,.0f} synaptic operations on spikes, {record['macs']:,.0f} multiply-accumulates on "
        f"graded values, mean rate {record['mean_rate']:.2%}, {record['spikes_per_synapse']:.2f} spikes a synapse, "
        f"T={record['T']}; {record['accuracy']:.2%} of {record['images']} validation images right",
        highlight=False,
        soft_wrap=True,
    )
    conventions = record["conventions"]
    if conventions != {"static": "once", "graded": "events"}:
        console.print(f"conventions: {', '.join(f'{k}={v}' for k, v in conventions.items())}", highlight=False)
    if record.get("missing"):
        console.print(f"not in the sum, for this profile has no figure for it: {', '.join(record['missing'])}")
    if twin:
        console.print(record["rate_twin"]["verdict"], highlight=False, soft_wrap=True)
