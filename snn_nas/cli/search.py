"""`snn-nas search`: an experiment under NNI from start to report."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from snn_nas.cli.paths import PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from snn_nas.cli.configuration import Configuration
    from snn_nas.cli.notes import Notes
    from snn_nas.nni.experiment import Experiment
    from snn_nas.search.result import Result

FINAL_FACTOR = 3


@click.command()
@click.option("--config", required=True, type=PATH, help="An NNI configuration of experiments/.")
@click.option("--trials", type=click.IntRange(1), help="Instead of the configuration's maxTrialNumber.")
@click.option("--concurrency", type=click.IntRange(1), help="Instead of its trialConcurrency.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Instead of its seed.")
@click.option("--data", help="Another data set of the same kind, such as cifar10_jpeg for cifar10.")
@click.option("--exportable", help="Search only among what can be exported to this format: nir or onnx.")
@click.option("--set", "words", multiple=True, metavar="NAME=VALUE", help="A setting of the trials, such as epochs=3.")
@click.option("--out", type=PATH, default="runs", show_default=True, help="Folder of all runs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where NNI's page listens: it has NO login.")
@click.option("--port", type=click.IntRange(1024, 65535), help="Its port; by default a free one.")
@click.option("--keep", is_flag=True, help="Leave NNI's web page running at the end.")
@click.option("--in-process", is_flag=True, help="Without NNI, one trial after another in this process; resumable.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="With --in-process: stop in time, to go on.")
@click.option(
    "--final-epochs", type=click.IntRange(1), help=f"Epochs of the winner; by default {FINAL_FACTOR} x a trial's."
)
def search(
    config: Path,
    trials: int | None,
    concurrency: int | None,
    seed: int | None,
    data: str | None,
    exportable: str | None,
    words: tuple[str, ...],
    out: Path,
    host: str,
    port: int | None,
    keep: bool,
    in_process: bool,
    minutes: float | None,
    final_epochs: int | None,
) -> None:
    """Search under NNI, then train, cost, draw and export the winner.

    Everything lands in a folder of its own under --out. Ctrl-C stops the experiment and everything that it started;
    what was found until then is kept.
    """
    from rich.console import Console

    from neurons.errors import UserError
    from snn_nas.cli.configuration import read
    from snn_nas.nni import server
    from snn_nas.nni.experiment import Experiment

    if in_process:
        _refuse_nnis()
    host = server.address(host)
    console = Console()
    asked = read(config, data, words, exportable)
    if seed is not None:
        asked = replace(asked, seed=seed)
    asked.check_search_space()
    _check_data(asked)
    if in_process:
        _without_nni(asked, config, out, trials, minutes, final_epochs, console)
        return
    if minutes is not None:
        raise UserError("--minutes goes with --in-process; a search under NNI has maxExperimentDuration")
    experiment = Experiment(
        config,
        folder=out,
        host=host,
        port=port,
        trials=trials,
        concurrency=concurrency,
        seed=seed,
        data=data,
        exportable=exportable,
        words=words,
        keep=keep,
    )
    run(experiment, asked, config, final_epochs, console)


def run(experiment: Experiment, asked: Configuration, config: Path, final_epochs: int | None, console: Console) -> None:
    """Start or resume, follow to the end, and finish the winner; `config` is the file that it all came from."""
    from neurons.errors import UserError
    from snn_nas.cli.notes import Notes
    from snn_nas.energy.profile import profile
    from snn_nas.nni import server

    if experiment.host != server.LOOPBACK:
        console.print(
            f"[bold red]NNI's page will listen on {experiment.host}. It has NO login: "
            "whoever reaches it can run commands as you."
        )
    keep = experiment.keep
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that leaving the block stops what was started
    started = time.monotonic()
    with experiment:
        notes = Notes(experiment.folder, asked, config, started)
        notes.write()
        console.print(f"Web page: [link]{experiment.url}[/link]   (trials, curves and logs while it runs)")
        _follow(experiment, console, profile(asked.settings.profile).name, notes)
        results = experiment.results()
    notes.write(results)
    if not results:
        raise UserError(f"no trial came to a result; what each said is below {_short(experiment.folder)}/environments")
    if missing := shortfall(len(results), experiment.config):
        console.print(missing, soft_wrap=True)
    finish(experiment.folder, asked, results, final_epochs, console)
    if keep:
        console.print(f"NNI's page is still at {experiment.url}; stop it with: nnictl stop {experiment.id}")
    else:
        console.print(
            f"NNI's page again: snn-nas view {_short(experiment.folder)}   (or: nnictl view {experiment.id})",
            soft_wrap=True,
        )


def shortfall(results: int, config: Mapping[str, Any]) -> str:
    """What is to be said where a search under NNI ended with fewer trials than were asked for."""
    asked, limit = int(config["maxTrialNumber"]), config.get("maxExperimentDuration")
    if results >= asked:
        return ""
    why = f": the configuration's maxExperimentDuration, {limit}, ends a search that takes longer" if limit else ""
    return f"{results} of {asked} trials came to a result{why}"


def _without_nni(
    asked: Configuration,
    config: Path,
    out: Path,
    trials: int | None,
    minutes: float | None,
    final_epochs: int | None,
    console: Console,
) -> None:
    """The same search in this process; it goes on where the last one of this configuration and seed stopped."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from neurons.errors import UserError
    from snn_nas.cli.notes import Notes
    from snn_nas.nni.in_process import bind
    from snn_nas.nni.in_process import search as run
    from snn_nas.nni.study import Study

    if not asked.ours:
        raise UserError(f"{asked.strategy} is a tuner of NNI's: it runs without --in-process")
    started = time.monotonic()
    folder = out / f"{config.stem}-{asked.seed}"
    (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    study = Study(folder / "checkpoint", {**asked.raw["tuner"]["classArgs"], "seed": asked.seed})
    bind(study, asked.settings)
    notes = Notes(folder, asked, config, started)
    notes.write()
    total = trials or int(asked.raw["maxTrialNumber"])
    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("trials"), TextColumn("{task.fields[news]}"))
    with Progress(*columns, TimeRemainingColumn(compact=True), console=console, speed_estimate_period=3600) as progress:
        bar = progress.add_task("search", total=total, completed=len(study.results), news="")

        def on_result(result: Result) -> None:
            best = max((each.metrics["accuracy"] for each in study.results if each.ok), default=0.0)
            progress.update(bar, advance=1, news=f"best {best:.1%}")
            notes.write()

        deadline = None if minutes is None else started + 60 * minutes
        finished = run(
            study,
            asked.settings,
            total,
            deadline=deadline,
            on_result=on_result,
            on_progress=lambda news: progress.update(bar, news=str(news)),
        )
    notes.write(study.results)
    if finished:
        finish(folder, asked, study.results, final_epochs, console)
    else:
        console.print(f"{total - len(study.results)} trials are left: the same command goes on with them")


def finish(
    folder: Path, asked: Configuration, results: list[Result], epochs: int | None, console: Console
) -> dict[str, Any]:
    """Train the winner to the end and say what was found."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from snn_nas.conclusion import choose, conclude, prepare
    from snn_nas.genotype import parse
    from snn_nas.report import pareto_table, write
    from snn_nas.search import objectives, trial_seed

    if not any(result.ok for result in results):
        console.print(f"report    {_short(write(folder))}", soft_wrap=True, highlight=False)
    best = choose(results)
    genotype = parse(best.genotype)
    count = epochs or FINAL_FACTOR * int(asked.settings.training.get("epochs", 5))
    settings = replace(asked.settings, training={**asked.settings.training, "epochs": count})
    data = prepare(genotype, settings)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[accuracy]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bars = {
            name: progress.add_task(f"Training the {label}", total=count, accuracy="", start=False)
            for name, label in (("winner", "winner"), ("twin", "bp twin"))
        }
        progress.start_task(bars["winner"])

        def on_epoch(name: str, number: int, accuracy: float) -> None:
            progress.start_task(bars[name])
            progress.update(bars[name], completed=number, accuracy=f"validation {accuracy:.1%}")

        record = conclude(
            genotype,
            settings,
            folder / "winner",
            data,
            seed=trial_seed(asked.seed, genotype.digest),
            on_epoch=on_epoch,
        )
    page = write(folder)
    console.print(pareto_table(results, objectives(asked.front), profile=record["profile"], winner=record["digest"]))
    _summary(record, console)
    for label, path in (
        ("report", page),
        ("genotype", folder / "winner" / "genotype.txt"),
        ("weights", folder / "winner" / "weights.safetensors"),
        ("nir", folder / "winner" / "network.nir"),
    ):
        note = record["files"]["nir_reason"] if label == "nir" and record["files"]["nir"] is None else _short(path)
        console.print(f"{label:9} {note}", soft_wrap=True, highlight=False)
    return record


def _short(path: Path) -> Path:
    """Relative to where the user stands, if it lies below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _check_data(asked: Configuration) -> None:
    """Load the data once: a missing file is found before the search, and the trials find it decoded."""
    asked.settings.load()


def _follow(experiment: Experiment, console: Console, profile: str, notes: Notes) -> None:
    """The progress bar: trials done, best accuracy and its energy, time left."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("trials"),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("search", total=experiment.total, news="")
        done = 0
        for now in experiment.watch():
            if now.done != done:
                done = now.done
                notes.write()
            news = [now.news] if now.news else []
            if now.best_accuracy is not None:
                news.append(
                    f"best {now.best_accuracy:.1%}"
                    + (f" at {now.energy_uJ:.3g} µJ on {profile}" if now.energy_uJ is not None else "")
                )
            if now.failed:
                news.append(f"{now.failed} dead or failed")
            if now.eta is not None:
                news.append(f"{int(now.eta) // 60}:{int(now.eta) % 60:02d} left")
            progress.update(bar, completed=now.done, news=", ".join(news))


def _summary(record: dict[str, Any], console: Console) -> None:
    from rich.table import Table

    table = Table(title=f"The winner and its bp twin on {record['data_title']}", caption=f"energy: {record['profile']}")
    for column in ("", "test", "validation", "energy µJ", "synops", "parameters", "locality"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for name, metrics in (("winner", record["metrics"]), ("bp twin", record["twin"])):
        if metrics is None:
            table.add_row(name, "-")
            table.caption = f"{table.caption}; no twin: {record['twin_reason']}"
            continue
        table.add_row(
            name,
            f"{metrics['test_accuracy']:.2%}",
            f"{metrics['validation_accuracy']:.2%}",
            f"{metrics['energy_uJ']:.4g}",
            _short_number(metrics["synops"]),
            _short_number(metrics["parameters"]),
            f"{metrics['locality']:.2f}",
        )
    console.print(table)
    console.print(record["genotype"], highlight=False, soft_wrap=True)


def _short_number(value: float) -> str:
    """Three digits: 128 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _refuse_nnis() -> None:
    """Raise UserError for options that say how NNI runs, where it does not run."""
    from neurons.errors import UserError

    context = click.get_current_context()
    for name in ("concurrency", "host", "port", "keep"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise UserError(f"--{name} is for a search under NNI: leave it out, or leave out --in-process")
