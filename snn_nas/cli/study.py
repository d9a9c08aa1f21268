"""`snn-nas study`: a claim, put to the test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snn_nas.cli.paths import PATH

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from snn_nas.study.jobs import Job
    from snn_nas.study.study import Study

RECORD, TABLE, PICTURE = "study.json", "study.md", "study.png"


@click.command()
@click.argument("claim", required=False, type=PATH)
@click.option("--out", required=True, type=PATH, help="Folder of this study; it can be resumed.")
@click.option("--genotype", help="The mix: a genotype, or a file that holds one.")
@click.option("--name", help="Of the study.")
@click.option("--rules", help="Single rules to compare with, such as usf,dfa,stdp; by default all.")
@click.option("--random", type=int, help="Number of random assignments.  [default: 6]")
@click.option("--seeds", type=int, help="Runs of every contestant.  [default: 6]")
@click.option("--lr", help="Factors on the learning rates that everyone tries, such as 0.5,1,2.")
@click.option("--threshold", help="Factors on the neurons' thresholds that everyone tries, such as 1,0.5.")
@click.option("--set", "words", multiple=True, metavar="NAME=VALUE", help="A setting of every run, such as epochs=3.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Runs at once.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop in time; the same command goes on.")
@click.option("--test/--no-test", default=True, help="Open the test split when every run is done.  [default: test]")
def study(
    claim: Path | None, out: Path, words: tuple[str, ...], workers: int, minutes: float | None, test: bool, **given: Any
) -> None:
    """Run the study of CLAIM, a YAML file, or of --genotype; options stand above the file.

    The mix meets every single rule, `frozen` and bp on the same architecture, and random assignments of rules. Everyone
    is tuned alike on validation data; the test split is opened once, at the end. Each run is written down as it ends,
    and a study that was stopped goes on where it was.
    """
    import time

    from rich.console import Console

    from snn_nas.study.claim import claim as read_claim
    from snn_nas.study.study import Study

    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    study = Study(read_claim(_given(claim, words, given)), out)
    console = Console()
    finished = _follow(study, console, workers, deadline)
    _write(study, out, console, opened=test and finished)
    if not finished:
        console.print(f"{study.total - len(study.results)} runs are left: the same command goes on with them")


def _given(path: Path | None, words: tuple[str, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The file's mapping with what the options say instead."""
    from neurons.errors import UserError
    from snn_nas.cli.files import read_genotype
    from snn_nas.nni.trial import read_settings
    from snn_nas.study.claim import read

    given = {} if path is None else read(path)
    genotype = options["genotype"] or given.get("genotype")
    if not genotype:
        raise UserError("name a claim's YAML file, or give --genotype; see docs/evidence.md")
    given["genotype"] = str(read_genotype(str(genotype)))
    given |= {key: options[key] for key in ("name", "random", "seeds") if options[key] is not None}
    if options["rules"] is not None:
        given["rules"] = _listed(options["rules"])
    tried = {key: _numbers(options[key], key) for key in ("lr", "threshold") if options[key] is not None}
    if tried:
        given["tuning"] = {**(given.get("tuning") or {}), **tried}
    if words:
        given["settings"] = {**(given.get("settings") or {}), **read_settings(words)}
    return given


def _listed(text: str) -> list[str]:
    """Names between commas, of which those within brackets are no separators."""
    import re

    return [word.strip() for word in re.split(r",(?![^()]*\))", text) if word.strip()]


def _numbers(text: str, name: str) -> list[float]:
    from neurons.errors import UserError

    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise UserError(f"--{name} takes numbers between commas, such as 0.5,1,2, not {text!r}") from error


def _bar(console: Console, what: str) -> Progress:
    """How many are done, time left, what the last one was and reached."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(what), TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[news]}"),
    )  # fmt: skip
    return Progress(*columns, console=console, speed_estimate_period=3600)


def _follow(study: Study, console: Console, workers: int, deadline: float | None) -> bool:
    with _bar(console, "runs") as progress:
        bar = progress.add_task("study", total=study.total, completed=len(study.results), news="")

        def on_done(job: Any, record: dict[str, Any]) -> None:
            what = "tuning" if job.phase == "tune" else f"seed {job.seed}"
            progress.update(bar, advance=1, news=f"{job.contestant}, {what}: {record['accuracy']:.1%} validation")

        return study.run(workers=workers, deadline=deadline, on_done=on_done)


def _open(study: Study, console: Console) -> None:
    from snn_nas.study.opening import measured, open_test

    if measured(study) is not None:
        return
    with _bar(console, "networks on the test split") as progress:
        bar = progress.add_task("test", total=None, news="")

        def on_done(job: Job, accuracy: float, left: int) -> None:
            progress.advance(bar)
            done, news = progress.tasks[0].completed, f"{job.contestant}, seed {job.seed}: {accuracy:.1%}"
            progress.update(bar, total=done + left, news=news)

        open_test(study, on_done)


def _write(study: Study, folder: Path, console: Console, *, opened: bool) -> None:
    """The record, the table and the picture; the test split first, if it is time."""
    from snn_nas.search.files import write_json
    from snn_nas.study.picture import save
    from snn_nas.study.record import summarise
    from snn_nas.study.table import table

    if opened:
        _open(study, console)
    record = summarise(study)
    write_json(folder / RECORD, record)
    text = table(record)
    (folder / TABLE).write_text(text, encoding="utf-8")
    if any(record["measured_on"] in row for row in record["contestants"]):
        save(record, folder / PICTURE)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"written to {folder / RECORD}, {TABLE}, {PICTURE}", soft_wrap=True, highlight=False)
