"""The Pareto table and the rule shares for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from neurons.errors import UserError
from rules.registry import pair
from snn_nas.report.run import UNKNOWN_PROFILE, Winner
from snn_nas.report.words import NONE, count, label, metric, on_profile, percent, rules_of
from snn_nas.search.objective import Objective
from snn_nas.search.pareto import pareto
from snn_nas.search.result import Result


def pareto_table(
    results: Sequence[Result],
    objectives: Sequence[Objective],
    *,
    profile: str = UNKNOWN_PROFILE,
    winner: str = "",
    limit: int = 20,
) -> Table:
    """The networks that no other dominates, most accurate first; `winner` is a digest, whose row is marked."""
    front = pareto(results, objectives)
    numbers = {id(result): number for number, result in enumerate(results, 1)}
    title = f"{len(front)} of {len(results)} trials are on the front"
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("trial", justify="right")
    for objective in objectives:
        table.add_column(
            f"{label(objective.name)}\n{escape(profile)}" if on_profile(objective.name) else label(objective.name),
            justify="right",
        )
    table.add_column("rules, from the input up")
    for result in front[:limit]:
        chosen = result.digest == winner
        table.add_row(
            f"{'★ ' if chosen else ''}{numbers[id(result)]}",
            *(metric(objective.name, result.metrics.get(objective.name)) for objective in objectives),
            _rules(result.genotype),
            style="bold" if chosen else "",
        )
    if len(front) > limit:
        table.caption = f"and {len(front) - limit} more in the report"
        table.caption_justify = "left"
    return table


def share_table(winner: Winner) -> Table:
    """Which rule trains how many of the winner's weights."""
    table = Table(
        title="Who learns how",
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for name, side in (
        ("rule", "left"),
        ("weights", "right"),
        ("share", "right"),
        ("learns from", "left"),
        ("layers", "left"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for row in rule_shares(winner):
        table.add_row(_swatch(row.rule), count(row.weights), percent(row.part), row.share, ", ".join(row.layers))
    return table


@dataclass(frozen=True, slots=True)
class RuleShare:
    """The layers of one rule and of one kind of error."""

    rule: str
    share: str
    weights: int
    part: float
    layers: tuple[str, ...]


def rule_shares(winner: Winner) -> list[RuleShare]:
    """The winner's weights by rule, in the order of the layers."""
    total = sum(layer.weights for layer in winner.layers) or 1
    kinds = dict.fromkeys((layer.rule, layer.share) for layer in winner.layers)
    rows = []
    for rule, share in kinds:
        layers = [layer for layer in winner.layers if (layer.rule, layer.share) == (rule, share)]
        weights = sum(layer.weights for layer in layers)
        rows.append(RuleShare(rule, share, weights, weights / total, tuple(layer.name for layer in layers)))
    return rows


def _rules(genotype: str) -> Text:
    words = [Text.assemble(("■ ", rule.colour), rule.name) for rule in rules_of(genotype)]
    return Text("  ").join(words) if words else Text(NONE)


def _swatch(rule: str) -> Text:
    try:
        colour = pair(*rule.split("~", 1)).colour
    except UserError:
        colour = ""
    return Text.assemble(("■ ", colour), rule)
