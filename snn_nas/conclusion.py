"""From a genotype to a finished model: train it and its bp twin to the end, measure, export, and write it all down.

A model's folder holds `genotype.txt`, `weights.safetensors`, `network.nir` (where NIR can say it), `activity.json` and
`winner.json`, which has every number with its conditions. A search's test split is opened here, once, at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurons.errors import UserError
from snn_nas import spaces
from snn_nas.conditions import conditions
from snn_nas.controls import bp_twin
from snn_nas.credit import check
from snn_nas.evaluation import EvaluationSettings, check_encoding, fit
from snn_nas.genotype import Genotype
from snn_nas.search.files import noted, write_json
from snn_nas.search.result import Result
from snn_nas.spaces import canonical

if TYPE_CHECKING:
    from snn_nas.data import Dataset
    from snn_nas.energy.activity import Activity
    from snn_nas.energy.profile import Profile
    from snn_nas.energy.result import Energy
    from snn_nas.network import Network
    from snn_nas.training import Epoch

RECORD, GENOTYPE, WEIGHTS, NIR = "winner.json", "genotype.txt", "weights.safetensors", "network.nir"
OnEpoch = Callable[[str, int, float], None]
"""Called with the network's name (`winner` or `twin`), the epoch and its validation accuracy."""


@dataclass(frozen=True)
class Model:
    """A trained network with what was measured on its folded form, which is what the exported files hold."""

    network: Network
    folded: Network
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


def prepare(genotype: Genotype, settings: EvaluationSettings) -> Dataset:
    """Find what is wrong with a request before anything is written, and load the data, the test split sealed.

    Raises:
        UserError: the genotype is invalid for this data, the data is missing, or the device or a setting is wrong.
    """
    from snn_nas.data import describe

    entry = describe(settings.data)
    graph = check(spaces.graph(genotype, entry.shape, entry.classes)).graph
    check_encoding(graph.nodes[0].encoding, entry)
    settings.resolve_device()
    return settings.load(genotype, "train")


def refuse_another(genotype: Genotype, settings: EvaluationSettings, folder: Path, data: Dataset, *, seed: int) -> None:
    """Leave the folder to the training whose record lies in it, unless it is this one.

    Raises:
        UserError: what is in the folder was trained otherwise.
    """
    said = noted(folder / RECORD, "conditions")
    if not isinstance(said, dict):
        return
    theirs = said | {"genotype": noted(folder / RECORD, "genotype")}
    ours = _decides(settings, data, seed) | {"genotype": str(canonical(genotype, data.shape, data.classes))}
    if other := [name for name, value in ours.items() if theirs.get(name) != value]:
        raise UserError(
            f"{folder} holds the results of another training (other {', '.join(sorted(other))}): "
            "give this one a folder of its own, or delete that one"
        )


def conclude(
    genotype: Genotype,
    settings: EvaluationSettings,
    folder: Path,
    data: Dataset,
    *,
    seed: int,
    twin: bool = True,
    test: bool = True,
    on_epoch: OnEpoch | None = None,
    tensorboard: Path | None = None,
) -> dict[str, Any]:
    """Train to the end, compare with the twin, open the test split once, export; returns the record.

    `data` comes from `prepare`; `tensorboard` is a folder for curves.

    Both networks get the same data, epochs, seed and initial weights; layers that learn by themselves before the others
    have their passes in addition. A training that was killed goes on where it was, if it is called alike: checkpoints
    lie in the folder until the record does. The number of epochs was fixed before, and the last one counts: nothing is
    picked on validation data here, let alone on the test split.

    Raises:
        UserError: the genotype or the settings are wrong, or the network died in training.
    """
    from rules.across import processes
    from snn_nas.energy.inference import inference_energy
    from snn_nas.energy.profile import profile
    from snn_nas.export import activity as activity_file
    from snn_nas.export import weights
    from snn_nas.export.nir_export import save_nir

    folder.mkdir(parents=True, exist_ok=True)
    genotype = canonical(genotype, data.shape, data.classes)
    before = _openings(folder, data)
    model = _train("winner", genotype, settings, data, seed, on_epoch, folder, tensorboard)
    models = {"winner": model}
    chosen = profile(settings.profile)
    energy = inference_energy(model.activity, model.network.graph, chosen)
    weights.save(
        model.network, folder / WEIGHTS, dataset=data.name, class_names=data.class_names, split=settings.split()
    )
    (folder / GENOTYPE).write_text(f"{genotype}\n", encoding="utf-8")
    for name in ("activity.json", "activity.csv"):
        activity_file.save(model.activity, model.network.graph, folder / name)
    nir_reason = twin_reason = ""
    try:
        save_nir(model.network, folder / NIR)
    except UserError as error:
        nir_reason = str(error)
    if twin:
        try:
            models["twin"] = _train("twin", bp_twin(genotype), settings, data, seed, on_epoch, folder, tensorboard)
        except UserError as error:
            twin_reason = str(error)
    if test:
        _open_test_split(models, data)
    record = {
        "genotype": str(genotype),
        "digest": genotype.digest,
        "data": data.name,
        "data_title": data.title,
        "shape": list(data.shape),
        "classes": data.classes,
        "profile": chosen.name,
        "metrics": model.metrics,
        "twin": models["twin"].metrics if "twin" in models else None,
        "twin_reason": twin_reason,
        "rate_twin": _rate_twin(model, chosen),
        "shares": dict(model.network.credit.shares),
        "layers": _layers(model, energy),
        "history": [asdict(epoch) for epoch in model.history],
        "conditions": {
            **_decides(settings, data, seed),
            "test_opened": [*before, *(asdict(opening) for opening in data.test.openings)],
            "processes": processes(),
            "backends": _backends(model.folded),
            **conditions(str(next(model.network.parameters()).device)),
        },
        "files": {
            "weights": WEIGHTS,
            "nir": None if nir_reason else NIR,
            "genotype": GENOTYPE,
            "nir_reason": nir_reason,
        },
    }
    write_json(folder / RECORD, record)
    for name in ("winner", "twin"):
        _checkpoint(folder, name).unlink(missing_ok=True)
    return record


def follow(
    genotype: Genotype, settings: EvaluationSettings, folder: Path, data: Dataset, *, seed: int, twin: bool
) -> None:
    """What the other processes of one training do while the first concludes: they train along, and write nothing."""
    from snn_nas.training import Diverged

    genotype = canonical(genotype, data.shape, data.classes)
    with suppress(Diverged, UserError):  # the first one says so
        fit(genotype, settings, data, seed, patient=True, checkpoint=_checkpoint(folder, "winner"))
        if twin:
            fit(bp_twin(genotype), settings, data, seed, patient=True, checkpoint=_checkpoint(folder, "twin"))


def _checkpoint(folder: Path, name: str) -> Path:
    return folder / f"{name}.checkpoint"


def _train(
    name: str,
    genotype: Genotype,
    settings: EvaluationSettings,
    data: Dataset,
    seed: int,
    on_epoch: OnEpoch | None,
    folder: Path,
    tensorboard: Path | None,
) -> Model:
    from snn_nas.energy.counter import count
    from snn_nas.energy.objectives import metrics as costs
    from snn_nas.export.folding import folded
    from snn_nas.training import Diverged, accuracy

    def after(number: int, metrics: Any) -> None:
        if on_epoch is not None:
            on_epoch(name, number, metrics["accuracy"])

    try:
        network, history = fit(
            genotype,
            settings,
            data,
            seed,
            on_epoch=after,
            patient=True,
            checkpoint=_checkpoint(folder, name),
            tensorboard=None if tensorboard is None else tensorboard / name,
        )
    except Diverged as error:
        raise UserError(f"the {name} did not survive its training: {error}") from error
    device = next(network.parameters()).device
    shown = data.validation.first(settings.energy_images).batches(100, device=device)
    scored = folded(network)
    activity = count(scored, (images for images, _ in shown))
    found = accuracy(scored, data.validation, device=device)
    return Model(
        network, scored, history, {"validation_accuracy": found, **costs(network, activity, settings.profile)}, activity
    )


def _open_test_split(models: dict[str, Model], data: Dataset) -> None:
    from snn_nas.training import accuracy

    split = data.test.open("final accuracy of the winner and its bp twin")
    for model in models.values():
        device = next(model.network.parameters()).device
        model.metrics["test_accuracy"] = accuracy(model.folded, split, device=device)


def _rate_twin(model: Model, on: Profile) -> dict[str, Any] | None:
    """The quantised rate network of as many bits; None on a chip's profile, where no such network runs."""
    from snn_nas.energy.twin import compare

    if on.e_mac is None or on.e_ac is None:
        return None
    found = compare(model.activity, model.network.graph, on)
    return {
        "bits": found.bits,
        "energy_uJ": found.twin_uJ,
        "wins": found.winner,
        "turning_rate": found.turning_rate,
        "verdict": found.verdict,
    }


def _layers(model: Model, energy: Energy) -> list[dict[str, Any]]:
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
                "spikes": sum(seen.spikes),
                "synops": sum(seen.synops),
                "energy_pJ": sum(energy.pJ[node.name].values()),
            }
        )
    return rows


def _backends(network: Network) -> list[str]:
    """What ran the neurons, which `backend=auto` does not say."""
    from neurons.population import Population

    return sorted({each.backend for each in network.modules() if isinstance(each, Population)})


def _decides(settings: EvaluationSettings, data: Dataset, seed: int) -> dict[str, Any]:
    """All that decides what a training comes to, but for the genotype, as JSON has it."""
    decided = {
        **{
            key: value
            for key, value in asdict(replace(settings, training={})).items()
            if key not in ("training", "root", "device", "start", "keep")
        },
        **settings.training,
        "seed": seed,
        "train": len(data.train),
        "validation": len(data.validation),
    }
    return dict(json.loads(json.dumps(decided)))


def _openings(folder: Path, data: Dataset) -> list[dict[str, Any]]:
    """When and why the test split was opened by whoever wrote here before: a split that was opened stays so."""
    if noted(folder / RECORD, "data") != data.name:
        return []
    said = noted(folder / RECORD, "conditions")
    return list(said.get("test_opened", [])) if isinstance(said, dict) else []
