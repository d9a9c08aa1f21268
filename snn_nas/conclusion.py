"""From a genotype to a finished model: train it and its bp twin to the end, measure, export, and write it all down.

A model's folder holds `genotype.txt`, `weights.safetensors`, `network.nir` (where NIR can say it), `activity.json` and
`winner.json`, which has every number with its conditions. This is the one place where the test split is opened.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurons.errors import UserError
from snn_nas.controls import bp_twin
from snn_nas.evaluation import EvaluationSettings, fit, head, measure
from snn_nas.genotype import Genotype
from snn_nas.search.files import write_json, write_text
from snn_nas.search.result import Result

if TYPE_CHECKING:
    from snn_nas.data import Dataset
    from snn_nas.energy import Activity
    from snn_nas.network import Network
    from snn_nas.training import Epoch

RECORD = "winner.json"
OnEpoch = Callable[[str, int, float], None]
"""Called with the network's name (`winner` or `twin`), the epoch and its validation accuracy."""


@dataclass(frozen=True)
class Model:
    """A trained network with what was measured on it."""

    network: Network
    history: list[Epoch]
    metrics: dict[str, float]
    activity: Activity


def choose(results: list[Result]) -> Result:
    """The winner of a search: the most accurate, and among equals the one of least energy.

    Raises:
        UserError: no trial ended well.
    """
    good = [result for result in results if result.ok]
    if not good:
        raise UserError("no trial ended well, so there is no winner; the reasons are in the report's list of trials")
    return max(good, key=lambda r: (r.metrics["accuracy"], -r.metrics.get("energy_uJ", 0.0)))


def conclude(
    genotype: Genotype,
    settings: EvaluationSettings,
    folder: Path,
    *,
    seed: int,
    twin: bool = True,
    test: bool = True,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train to the end, compare with the twin, open the test split once, export; returns the record.

    Both networks get the same data, budget and seed. The number of epochs was fixed before, and the last epoch counts:
    nothing is picked on validation data here, let alone on the test split.

    Raises:
        UserError: the genotype or the settings are wrong, or the network died in training.
    """
    from snn_nas.energy import compare, inference_energy, profile
    from snn_nas.export import save, write_activity, write_nir

    data = settings.load("train")
    folder.mkdir(parents=True, exist_ok=True)
    names = ["winner", "twin"] if twin else ["winner"]
    genotypes = {"winner": genotype, "twin": bp_twin(genotype)}
    models = {name: _train(name, genotypes[name], settings, data, seed, on_epoch) for name in names}
    if test:
        _open_test_split(models, data)
    model = models["winner"]
    chosen = profile(settings.profile)
    energy = inference_energy(model.activity, model.network.graph, chosen)
    weights = folder / "weights.safetensors"
    save(model.network, weights, data)
    write_text(folder / "genotype.txt", f"{genotype}\n")
    write_activity(model.activity, model.network.graph, folder)
    nir_reason = ""
    try:
        write_nir(model.network, folder / "network.nir")
    except UserError as error:
        nir_reason = str(error)
    record = {
        "genotype": str(genotype),
        "digest": genotype.digest,
        "data": data.name,
        "data_title": data.title,
        "shape": list(data.shape),
        "classes": data.classes,
        "profile": chosen.name,
        "metrics": model.metrics,
        "twin": models["twin"].metrics if twin else None,
        "rate_twin": compare(model.activity, model.network.graph, chosen),
        "shares": dict(model.network.credit.shares),
        "layers": _layers(model, energy),
        "history": [asdict(epoch) for epoch in model.history],
        "conditions": _conditions(settings, data, seed),
        "files": {
            "weights": weights.name,
            "nir": None if nir_reason else "network.nir",
            "genotype": "genotype.txt",
            "nir_reason": nir_reason,
        },
    }
    write_json(folder / RECORD, record)
    return record


def _train(
    name: str, genotype: Genotype, settings: EvaluationSettings, data: Dataset, seed: int, on_epoch: OnEpoch | None
) -> Model:
    from snn_nas.energy import count
    from snn_nas.evaluation import Dead
    from snn_nas.training import Diverged

    def after(number: int, metrics: Any) -> None:
        if on_epoch is not None:
            on_epoch(name, number, metrics["accuracy"])

    try:
        network, history = fit(genotype, settings, data, seed, on_epoch=after)
    except (Dead, Diverged) as error:
        raise UserError(f"the {name} did not survive its training: {error}") from error
    metrics = {"validation_accuracy": history[-1].accuracy, **measure(network, data, settings)}
    shown = head(data, settings.energy_images)
    return Model(network, history, metrics, count(network, (images for images, _ in shown.batches(100))))


def _open_test_split(models: dict[str, Model], data: Dataset) -> None:
    from snn_nas.training import accuracy

    split = data.test.open("final accuracy of the winner and its bp twin")
    for model in models.values():
        device = next(model.network.parameters()).device
        model.metrics["test_accuracy"] = accuracy(model.network, split, device=device)


def _layers(model: Model, energy: Any) -> list[dict[str, Any]]:
    """One row a layer: its rule, how its weights count, what it fires and costs."""
    rows = []
    credit = model.network.credit
    for node in credit.graph.layers:
        assert node.synapse is not None
        seen = model.activity[node.name]
        rows.append(
            {
                "name": node.name,
                "rule": node.pair.name,
                "share": credit.share[node.name],
                "weights": node.synapse.weights,
                "rate": None if node.readout else seen.rate,
                "spikes": seen.spikes,
                "synops": seen.synops,
                "energy_pJ": energy.layers[node.name],
            }
        )
    return rows


def _conditions(settings: EvaluationSettings, data: Dataset, seed: int) -> dict[str, Any]:
    import torch

    cuda = torch.cuda.is_available() and settings.device != "cpu"
    return {
        **{key: value for key, value in asdict(replace(settings, training={})).items() if key not in ("training", "root")},
        **settings.training,
        "seed": seed,
        "train": len(data.train),
        "validation": len(data.validation),
        "test_opened": [asdict(opening) for opening in data.test.openings],
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()} CPU, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("snn-nas", "torch", "spikingjelly", "nni")}
        | {"python": platform.python_version()},
        "commit": _commit(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The commit that this code is at, where it lies in a repository."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
