"""`snn-nas train`: a genotype trained to the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from neurons.errors import UserError
from snn_nas.cli.paths import PATH


@click.command()
@click.argument("genotype")
@click.option(
    "--data", default="digits", show_default=True, help="Data set: digits, fashion_mnist, cifar10, imagefolder:PATH ..."
)
@click.option("--root", type=PATH, help="Folder of the data sets; by default SNN_NAS_DATA.")
@click.option("--out", required=True, type=PATH, help="Folder for weights, .nir and the record.")
@click.option("--epochs", default=20, show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--lr", default=1.0, show_default=True, help="Factor on the rate that each rule declares.")
@click.option("--train", "images", type=click.IntRange(1), help="Number of training images; by default all.")
@click.option("--augment", is_flag=True, help="Crop and flip as the data set declares.")
@click.option("--set", "words", multiple=True, metavar="NAME=VALUE", help="Any other setting, such as ema=0.999.")
@click.option("--profile", default="45nm_fp32", show_default=True, help="Energy profile: a name, or a YAML file.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--backend", default="auto", show_default=True, help="What simulates the neurons.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--twin/--no-twin", default=False, help="Train the bp twin too, to compare with.")
@click.option("--tensorboard", type=PATH, help="Folder for TensorBoard's curves.")
@click.option("--test", is_flag=True, help="Open the test split at the end; leave it shut while you still choose.")
def train(
    genotype: str,
    out: Path,
    root: Path | None,
    images: int | None,
    words: tuple[str, ...],
    seed: int,
    twin: bool,
    tensorboard: Path | None,
    test: bool,
    **given: Any,
) -> None:
    """Train GENOTYPE, a text or a file that holds one; write weights, .nir, activity and a record of every number.

    A training that was killed goes on after its last whole epoch: call it again as it was. Several processes learn
    together under torchrun --nproc-per-node N -m snn_nas train ...
    """
    from rich.console import Console
    from rich.progress import Progress

    from snn_nas import distributed
    from snn_nas.cli.files import read_genotype
    from snn_nas.conclusion import conclude, follow, prepare, refuse_another
    from snn_nas.evaluation import EvaluationSettings
    from snn_nas.nni.trial import read_settings

    more = read_settings(words)
    if twice := sorted(more.keys() & {*given, "train", "root"}):
        raise UserError(f"--set {twice[0]}=...: write --{twice[0].replace('_', '-')} instead")
    for name in ("start", "keep", "robustness", "robustness_images"):
        if name in more:
            instead = "; snn-nas robustness measures a trained model" if "robustness" in name else ""
            raise UserError(f"--set {name}=...: a search's trials take it, train does not{instead}")
    settings = EvaluationSettings.of({**given, "root": None if root is None else str(root), "train": images, **more})
    parsed = read_genotype(genotype)
    distributed.join(settings.resolve_device())
    console = Console(quiet=not distributed.first())
    with distributed.in_turn():  # the first one fills the cache
        data_set = prepare(parsed, settings)
        refuse_another(parsed, settings, out, data_set, seed=seed)
    if not distributed.first():
        follow(parsed, settings, out, data_set, seed=seed, twin=twin)
        distributed.leave()
        return
    with Progress(console=console, speed_estimate_period=3600) as progress:
        epochs = given["epochs"]
        bar = progress.add_task("Training", total=epochs * (2 if twin else 1))

        def on_epoch(name: str, number: int, accuracy: float) -> None:
            done = number + (epochs if name == "twin" else 0)
            progress.update(bar, completed=done, description=f"Training the {name}, epoch {number}: {accuracy:.2%}")

        record = conclude(
            parsed, settings, out, data_set, seed=seed, twin=twin, test=test, on_epoch=on_epoch, tensorboard=tensorboard
        )
    for name in ("metrics", "twin"):
        if record[name]:
            shown = ", ".join(f"{key} {value:.4g}" for key, value in record[name].items())
            console.print(
                f"{'network' if name == 'metrics' else 'bp twin'} [{record['profile']}]: {shown}",
                soft_wrap=True,
                markup=False,
            )
    if record["files"]["nir_reason"]:
        console.print(f"no .nir: {record['files']['nir_reason']}", soft_wrap=True)
    console.print(f"written to {out}")
    distributed.leave()
