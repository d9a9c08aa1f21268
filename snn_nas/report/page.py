"""Writes the report: the pictures as PNG files, and one HTML page that holds them all and needs nothing else."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from snn_nas.report import words
from snn_nas.report.figures import PICTURES, Picture
from snn_nas.report.run import Run, Search, Winner
from snn_nas.report.style import DARK, LIGHT, SHARE_COLOURS, Theme, drawing, on, resolution, rule_colour
from snn_nas.report.table import rule_shares
from snn_nas.search.registry import STRATEGIES

PAGE = "report.html"
FIGURES = "figures"
MAX_REASON = 300
"""A longer reason is cut: it may hold a whole traceback."""

_COLUMNS = ("accuracy", "energy_uJ", "locality", "parameters", "synops", "T", "latency_steps")

SHARE_MEANINGS = {
    "bp": "an error that crossed exact transports only: back-propagation",
    "aligned": "an error that crossed an approximate transport",
    "broadcast": "the output’s error, sent straight to the layer",
    "local": "a loss on the layer itself",
    "unsupervised": "its own spikes alone",
    "frozen": "nothing: the weights stay as they were drawn",
}


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture as data URIs, in both themes."""

    picture: Picture
    light: str
    dark: str
    width: int


@dataclass(frozen=True, slots=True)
class Headline:
    """One number of the winner's, and its twin's."""

    label: str
    value: str
    twin: str
    difference: str
    note: str = ""


def write_page(run: Run) -> Path:
    """Write `report.html` and `figures/*.png` into the run's folder, and return the page's path."""
    pictures = [drawn for picture in PICTURES if (drawn := _draw(run, picture)) is not None]
    page = run.folder / PAGE
    part = page.with_name(PAGE + ".part")
    part.write_text(render(run, pictures), encoding="utf-8")
    part.replace(page)
    return page


def render(run: Run, pictures: list[Drawn]) -> str:
    """The page's text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("snn_nas.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        percent=words.percent, count=words.count, energy=words.energy, duration=words.duration, label=words.label
    )
    environment.globals.update(
        metric=words.metric,
        on_profile=words.on_profile,
        rules_of=words.rules_of,
        colour=rule_colour,
        on=on,
        none=words.NONE,
    )
    winner = run.winner
    chosen = [objective.name for objective in run.search.front]
    numbers = {id(result): number for number, result in enumerate(run.results, 1)}
    return environment.get_template("template.html").render(
        run=run,
        search=run.search,
        winner=winner,
        pictures=pictures,
        headlines=headlines(winner) if winner else [],
        shares=rule_shares(winner) if winner else [],
        share_colours=SHARE_COLOURS,
        share_meanings=SHARE_MEANINGS,
        columns=[*chosen, *(name for name in _COLUMNS if name not in chosen)],
        front=[(numbers[id(result)], result) for result in run.front],
        lost=[(numbers[id(r)], r, _cut(r.reason)) for r in run.results if not r.ok],
        conditions=dict(_flat(winner.conditions)) if winner else {},
        commands=commands(run),
    )


def headlines(winner: Winner) -> list[Headline]:
    """What the reader wants to know first, beside the same network under back-propagation."""
    tested = "test_accuracy" in winner.metrics
    wanted = [
        (
            "test_accuracy" if tested else "validation_accuracy",
            "test accuracy" if tested else "validation accuracy",
            "",
        ),
        ("energy_uJ", "energy of one inference", winner.profile),
        ("locality", "locality", "weights that learn without a transported error"),
        ("learning_energy_uJ", "energy of learning from one image", winner.profile),
        ("parameters", "weights", "trainable and frozen"),
        ("synops", "synaptic operations", "of one inference"),
    ]
    twin = winner.twin or {}
    return [
        Headline(
            label,
            words.metric(name, value),
            words.metric(name, twin.get(name)),
            _difference(name, value, twin.get(name)),
            note,
        )
        for name, label, note in wanted
        if (value := winner.metrics.get(name)) is not None
    ]


def commands(run: Run) -> list[str]:
    """How to get this result again; the search's own list, or what can be told from its files."""
    if run.search.reproduce:
        return list(run.search.reproduce)
    lines = []
    if run.winner and (commit := run.winner.conditions.get("commit")):
        clean = str(commit).removesuffix("-dirty")
        lines.append(
            f"git checkout {clean}" + ("" if clean == commit else "  # and the changes that were not committed")
        )
    if run.search.config:
        lines.append(_search_command(run.search))
    return lines


def _search_command(search: Search) -> str:
    """What the folder tells of it; settings that `--set` changed are not written there."""
    parts = ["snn-nas", "search", "--config", search.config]
    if search.strategy in STRATEGIES:  # NNI's own tuners take neither
        parts += ["--data", search.data_name] if search.data_name else []
        parts += ["--seed", str(search.seed)] if search.seed is not None else []
    return shlex.join([*parts, *(["--trials", str(search.trials)] if search.trials else [])])


def _difference(name: str, value: float, twin: float | None) -> str:
    """`−0.8 points` for shares, `×0.89` for amounts."""
    if twin is None:
        return ""
    if words.is_energy(name) or name in ("parameters", "synops"):
        return "the same" if value == twin else f"×{value / twin:.2f}" if twin else ""
    points = 100 * (value - twin)
    return "the same" if abs(points) < 0.05 else f"{points:+.1f} points".replace("-", "−")


def _draw(run: Run, picture: Picture) -> Drawn | None:
    if picture.needs_winner and run.winner is None:
        return None
    images: list[str] = []
    width = 0.0
    for theme in (LIGHT, DARK):
        content, width = _png(run, picture, theme)
        if not content:
            return None
        path = run.folder / FIGURES / f"{picture.name}{'' if theme is LIGHT else '-dark'}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        images.append("data:image/png;base64," + base64.b64encode(content).decode())
    return Drawn(picture, images[0], images[1], round(96 * width))


def _png(run: Run, picture: Picture, theme: Theme) -> tuple[bytes, float]:
    """The picture's file, and its width in inches; no file where there is nothing to see."""
    with drawing(theme):
        figure = picture.draw(run, theme)
        if figure is None:
            return b"", 0.0
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=resolution(figure), metadata={"Software": None})
    return file.getvalue(), float(figure.get_size_inches()[0])


def _cut(reason: str) -> str:
    return reason if len(reason) <= MAX_REASON else reason[:MAX_REASON] + " …"


def _flat(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested conditions as rows, `versions: torch`."""
    rows: list[tuple[str, str]] = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}: ")
        elif value is not None:
            rows.append((f"{prefix}{key}".replace("_", " "), _plain(value)))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    if isinstance(value, Mapping):
        return ", ".join(map(_plain, value.values()))
    return str(value)
