"""`snn-nas load`: what a saved network is, from its file alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snn_nas.cli.paths import PATH

if TYPE_CHECKING:
    from snn_nas.graph import Node
    from snn_nas.network import Network


@click.command()
@click.argument("model", type=PATH)
@click.option("--data", help="Measure its accuracy on the validation images of this data set, too.")
@click.option("--root", type=PATH, help="Folder of the data sets; by default SNN_NAS_DATA.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def load(model: Path, data: str | None, root: Path | None, form: str) -> None:
    """Rebuild MODEL from its .safetensors file alone, and say what it is: genotype, layers, rules, shapes, parameters.

    The file is trusted with nothing: sizes, types and the genotype are checked before anything of its size is made.
    In Python the same is `snn_nas.export.weights.load(FILE)`, a torch module in evaluation mode.
    """
    from snn_nas.cli.files import data_of, model_file
    from snn_nas.export.folding import folded
    from snn_nas.export.weights import load as rebuild
    from snn_nas.export.weights import read_header

    path = model_file(model)
    header = read_header(path)
    network = rebuild(path)
    record = _record(path, header, network)
    if data is not None:
        from snn_nas.training import accuracy

        found = data_of(header, data, root)
        record["accuracy"] = accuracy(folded(network), found.validation)
        record["accuracy_on"] = f"{len(found.validation):,} validation images of {found.title}"
    if form == "json":
        click.echo(json.dumps(record, indent=1))
    else:
        _draw(record)


def _record(path: Path, header: dict[str, Any], network: Network) -> dict[str, Any]:
    from snn_nas.export.nir_export import outlook

    graph, credit = network.graph, network.credit
    return {
        "model": str(path),
        "bytes": path.stat().st_size,
        "genotype": header["genotype"],
        "digest": network.genotype.digest if network.genotype is not None else "",
        "data": header["dataset"],
        "shape": header["shape"],
        "classes": header["classes"],
        "class_names": header["class_names"],
        "encoding": header["encoding"],
        "T": graph.T,
        "layers": [_layer(node, credit.share[node.name]) for node in graph.layers],
        "parameters": network.parameter_counts(),
        "shares": dict(credit.shares),
        "locality": credit.locality,
        "nir": outlook(graph),
        "versions": header["versions"],
    }


def _layer(node: Node, share: str) -> dict[str, Any]:
    assert node.synapse is not None
    return {
        "name": node.name,
        "inputs": list(node.inputs),
        "synapse": _synapse(node),
        "shape": list(node.shape),
        "neurons": str(node.neuron) if node.neuron is not None else None,
        "rule": node.pair.name,
        "share": share,
        "weights": node.synapse.weights,
    }


def _synapse(node: Node) -> str:
    """`conv 3x3, stride 2, groups 8`, or `linear`."""
    s = node.synapse
    assert s is not None
    if s.kind == "linear":
        return "linear"
    extras = {"stride": s.stride, "dilation": s.dilation, "groups": s.groups}
    named = [f"{key} {value}" for key, value in extras.items() if value != 1]
    return ", ".join([f"conv {s.kernel}x{s.kernel}", *named])


def _draw(record: dict[str, Any]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(record["genotype"])
    shape = "x".join(map(str, record["shape"]))
    names = f" ({', '.join(record['class_names'])})" if 0 < len(record["class_names"]) <= 20 else ""
    say(f"for images of {shape} in {record['classes']} classes{names}, trained on {record['data'] or 'no named data'}")
    table = Table(box=SIMPLE_HEAD, padding=0)  # without frames, it fits into a terminal of 80
    for column in ("layer", "synapse", "shape", "neurons", "rule", "learns by", "weights"):
        table.add_column(
            column,
            justify="right" if column == "weights" else "left",
            no_wrap=column not in ("synapse", "neurons"),
            overflow="fold",
        )
    for layer in record["layers"]:
        table.add_row(
            layer["name"], layer["synapse"], "x".join(map(str, layer["shape"])), layer["neurons"] or "none",
            layer["rule"], layer["share"], f"{layer['weights']:,}",
        )  # fmt: skip
    console.print(table)
    counts = record["parameters"]
    say(
        f"{counts['weights']:,} weights, {counts['other']:,} norm, bias and neuron parameters, {counts['heads']:,} in "
        f"local heads, {counts['feedback']:,} numbers of feedback; T={record['T']}, encoding {record['encoding']}"
    )
    shares = ", ".join(f"{share} {part:.0%}" for share, part in record["shares"].items() if part)
    say(f"its weights learned by: {shares}; locality {record['locality']:.2f}")
    say(f"NIR: {record['nir']}")
    say(f"{record['bytes']:,} bytes, written with {', '.join(f'{k} {v}' for k, v in record['versions'].items())}")
    if "accuracy" in record:
        say(f"{record['accuracy']:.2%} of {record['accuracy_on']}")
