"""`snn-nas rules` and `snn-nas spaces`: what there is to search over."""

from __future__ import annotations

import json
from pathlib import Path

import click

from snn_nas.cli.paths import PATH


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def rules(form: str) -> None:
    """List the learning rules: what each needs, transports and costs."""
    from rules.registry import SHORT, TRANSPORTS, implementation, pair
    from rules.registry import rules as declared

    rows = []
    for name in [*SHORT, *declared()]:
        rule = pair(name)
        d, optimiser = rule.declaration, implementation(rule.declaration)(rule.declaration).optimiser(rule.optimiser)
        error = "its own loss" if d.readout else d.error
        rows.append(
            {
                "name": name,
                "update": d.update,
                "transport": rule.transport if len(d.transports) == 1 or name in SHORT else "any",
                "error": error,
                "surrogate": d.surrogate,
                "online": d.online,
                "norms": d.norms,
                "order": d.order,
                "optimiser": f"{optimiser.kind} {optimiser.lr:g}"
                + (f", horizon {optimiser.horizon:g}" if optimiser.horizon else "")
                + (f", {optimiser.inputs} inputs" if optimiser.inputs else ""),
                "source": TRANSPORTS[rule.transport] if name in SHORT and name != "bp" else d.source,
            }
        )
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    shown = list(rows[0]) if console.width >= 130 else ["name", "transport", "error", "surrogate", "online", "source"]
    caption = "bp is the twin to compare with, never a candidate"
    if len(shown) < len(rows[0]):
        caption += "; a wider terminal, or --format json, shows update, norms, order and optimiser too"
    table = Table(title="Learning rules: update / transport", caption=caption)
    for column in shown:
        table.add_column(column, overflow="fold", no_wrap=column != "source")
    for row in rows:
        cells = (row[column] for column in shown)
        table.add_row(*("yes" if cell is True else "no" if cell is False else str(cell) for cell in cells))
    console.print(table)


@click.command()
@click.argument("name", required=False)
@click.option("--data", default="digits", show_default=True, help="The data set whose images the networks are for.")
@click.option("--config", type=PATH, help="Take the space from an experiment's configuration.")
@click.option("--exportable", help="Only what can be exported to this format: nir or onnx.")
@click.option("--nni", is_flag=True, help="Print the search space in NNI's form, for a searchSpaceFile.")
@click.option("--sample", type=click.IntRange(1, 1000), help="Print that many genotypes, drawn uniformly.")
@click.option("--seed", default=0, show_default=True)
def spaces(
    name: str | None,
    data: str,
    config: Path | None,
    exportable: str | None,
    nni: bool,
    sample: int | None,
    seed: int,
) -> None:
    """List the search spaces, or look into the one called NAME."""
    import random
    import re

    from snn_nas.data import describe
    from snn_nas.report.words import count
    from snn_nas.spaces import build
    from snn_nas.spaces import spaces as known

    if config is not None:
        from snn_nas.cli.configuration import read

        space = read(config, exportable=exportable).space
    elif name is None:
        for each, cls in known().items():
            click.echo(f"{each:8} {cls.summary}")
        return
    else:
        entry = describe(data)
        space = build(name, shape=entry.shape, classes=entry.classes, exportable=exportable)
    if nni:
        click.echo(json.dumps(space.search_space(), indent=1))
        return
    if sample:
        rng = random.Random(seed)
        for _ in range(sample):
            click.echo(str(space.sample(rng)))
        return
    click.echo(f"{space.name}: {space.summary}")
    click.echo(f"{count(space.size())} different networks for images of {space.shape}; its choices:")
    shown = {  # the same choice in many places is one line
        (re.sub(r"\d+", "N", key), " | ".join(map(str, choice["_value"])))
        for key, choice in space.search_space().items()
    }
    for key, values in sorted(shown):
        click.echo(f"  {key:24} {values}")
