"""`snn-nas robustness`: accuracy under attack and corruption."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snn_nas.cli.paths import PATH

if TYPE_CHECKING:
    from fractions import Fraction

    from rich.console import Console

    from snn_nas.robustness.measure import Plan
    from snn_nas.robustness.subjects import Subject

RECORD, TABLE, PICTURE = "robustness.json", "robustness.md", "robustness.png"


@click.command()
@click.argument("model", type=PATH)
@click.option("--twin", type=PATH, help="The bp twin's .safetensors: measured too, and transfer.")
@click.option("--of", "groups", default="mix,bp", show_default=True, help="Of a study: whose networks.")
@click.option("--eps", default="2/255,4/255,8/255", show_default=True, help="Sizes of the ball, in pixels of [0, 1].")
@click.option("--images", type=click.IntRange(1), default=200, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=40, show_default=True, help="Of pgd and apgd.")
@click.option("--queries", type=click.IntRange(1), default=200, show_default=True, help="Of square, an image.")
@click.option("--split", type=click.Choice(["validation", "test"]), default="validation", show_default=True)
@click.option("--data", help="Data set; by default the one that the network was trained on.")
@click.option("--root", type=PATH, help="Folder of the data sets; by default SNN_NAS_DATA.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the attacks' chance.")
@click.option("--out", type=PATH, help="Folder of the record; by default beside MODEL.")
def robustness(
    model: Path, twin: Path | None, groups: str, images: int, split: str, out: Path | None, **given: Any
) -> None:
    """Attack MODEL: a .safetensors file, the folder that holds it, or a study's folder, which gives statistics.

    FGSM, PGD, APGD and Square in the maximum norm, transfer from the bp twin, and seven common corruptions, with sanity
    checks. Needs the extra `robustness`. Each network is written down as it ends; the same command goes on.
    """
    from rich.console import Console

    from neurons.errors import UserError
    from snn_nas.cli.files import model_file
    from snn_nas.robustness.subjects import is_study, of_study, single

    if is_study(model):
        if twin is not None:
            raise UserError("a study has its twins with it: leave out --twin")
        subjects, beside = of_study(model, groups.split(","), split), model
    else:
        path = model_file(model)
        subjects, beside = single(path, twin), path.parent
    _run(subjects, out or beside / "robustness", Console(), images=images, split=split, **given)


def _run(subjects: list[Subject], folder: Path, console: Console, *, images: int, split: str, **given: Any) -> None:
    """Measure what is not measured yet, then write it all down."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from neurons.errors import UserError
    from snn_nas.cli.files import data_of
    from snn_nas.conditions import conditions, place
    from snn_nas.evaluation import EvaluationSettings
    from snn_nas.export.weights import load, read_header
    from snn_nas.robustness.attacks import Effort
    from snn_nas.robustness.measure import Plan, measure, nothing
    from snn_nas.robustness.picture import save
    from snn_nas.robustness.record import summarise
    from snn_nas.robustness.table import table
    from snn_nas.search.files import write_bytes, write_json
    from snn_nas.search.journal import Journal

    effort = Effort(given["steps"], given["queries"], given["seed"])
    plan = Plan(eps=_sizes(given["eps"]), effort=effort)
    device = EvaluationSettings(device=given["device"]).resolve_device()
    headers = {subject.key: read_header(subject.path) for subject in subjects if subject.path is not None}
    if not headers:
        raise UserError("every run diverged: there is no network to attack")
    header = next(iter(headers.values()))
    data = data_of(header, given["data"], given["root"], "train" if split == "test" else "search")
    chosen = data.test.open("robustness of final networks") if split == "test" else data.validation
    about = {"data": data.name, "images": min(images, len(chosen)), "split": split, "plan": plan.to_json()}
    journal = Journal(folder / "journal.jsonl")
    records = journal.read()
    if not records:
        journal.append({"robustness": about})
    elif records[0].get("robustness") != about:
        raise UserError(f"{folder} holds measurements of another plan or other images: give another --out")
    found = {record["key"]: record for record in records if "key" in record}
    digests = {subject.key: subject.digests for subject in subjects}
    if changed := [key for key in digests.keys() & found.keys() if found[key].get("digests") != digests[key]]:
        raise UserError(
            f"{folder} holds measurements of another network, or twin, as {min(changed)}: give another --out"
        )
    if split == "test":
        journal.append({"opened": asdict(data.test.openings[-1])})
    if images > len(chosen):
        console.print(f"{data.title} has {len(chosen):,} {split} images here: all of them are taken")
    pixels, labels = next(chosen.first(images).batches(images, device=device))
    left = [subject for subject in subjects if subject.key not in found]
    columns = (BarColumn(bar_width=24), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, speed_estimate_period=3600) as progress:
        bar = progress.add_task("attacks", total=_steps(left, plan))
        for subject in left:

            def on_step(what: str, of: Subject = subject) -> None:
                progress.update(bar, advance=1, description=f"{of.group}, seed {of.seed}: {what}")

            record = {"key": subject.key, "group": subject.group, "seed": subject.seed, "model": None, "genotype": None}
            record["digests"] = digests[subject.key]
            if subject.path is None:
                record |= nothing(plan, transfer=subject.twin is not None)
            else:
                network = load(subject.path).to(device)
                twin = None if subject.twin is None else load(subject.twin).to(device)
                record |= {"model": subject.path.name, "genotype": headers[subject.key]["genotype"], **place(device)}
                record |= measure(network, pixels, labels, plan, twin=twin, on_step=on_step)
            journal.append(record)
            found[subject.key] = record
    opened = [record["opened"] for record in journal.read() if "opened" in record]
    about |= {"data_title": data.title, "test_opened": opened, "conditions": conditions(device)}
    result = summarise([found[subject.key] for subject in subjects], about)
    write_json(folder / RECORD, result)
    text = table(result)
    write_bytes(folder / TABLE, text.encode())
    save(result, folder / PICTURE)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print(f"written to {folder / RECORD}, {TABLE}, {PICTURE}", soft_wrap=True, highlight=False)


def _steps(subjects: list[Subject], plan: Plan) -> int:
    return sum(plan.steps(transfer=each.twin is not None) for each in subjects if each.path is not None)


def _sizes(text: str) -> tuple[Fraction, ...]:
    """`2/255,0.5/255,0.1` as fractions, ascending."""
    from fractions import Fraction

    from neurons.errors import UserError

    try:
        parts = (word.partition("/") for word in text.split(","))
        sizes = tuple(sorted({Fraction(x.strip()) / Fraction(y.strip() if line else 1) for x, line, y in parts}))
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"--eps takes sizes between commas, such as 2/255,8/255, not {text!r}") from error
    if not all(0 < size <= 1 for size in sizes):
        raise UserError(f"--eps lies above 0 and up to 1, for pixels do; not {text}")
    return sizes
