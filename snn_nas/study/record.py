"""What a study came to: everyone's accuracies, costs and tuning, and the comparisons with their corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from snn_nas import spaces
from snn_nas.conditions import conditions, places
from snn_nas.data import describe
from snn_nas.evaluation import EvaluationSettings
from snn_nas.genotype import Genotype
from snn_nas.study.contestants import Contestant
from snn_nas.study.jobs import Record
from snn_nas.study.opening import measured, openings
from snn_nas.study.statistics import LEAST_RUNS, Comparison, family, mean_and_deviation
from snn_nas.study.study import Study
from snn_nas.training_settings import Training

COSTS = ("energy_uJ", "learning_energy_uJ")


def summarise(study: Study) -> dict[str, Any]:
    """The study's JSON record. Accuracies are of the test split once it was opened, of validation before that.

    Comparisons come in families, each corrected by itself: the mix's accuracy against everyone's (`accuracy`), other
    mixes' against bp (`others`), and the mix's costs against bp's (`costs`).
    """
    known = measured(study)
    rows = [_row(study, each, known) for each in study.contestants]
    row = {each["name"]: each for each in rows}
    runs = {each["name"]: each["runs"] for each in rows}
    value = "test" if known is not None else "validation"

    def group(name: str, key: str) -> list[float]:
        return [run[key] for run in runs[name] if key in run]

    def compared(pairs: Sequence[tuple[str, str]], keys: Sequence[str]) -> list[dict[str, Any]]:
        wanted = [(a, b, key) for a, b in pairs for key in keys if len(group(a, key)) > 1 and len(group(b, key)) > 1]
        found = family({(a, f"{b}/{key}"): (group(a, key), group(b, key)) for a, b, key in wanted})
        return [_plain(each, b, key) for each, (_, b, key) in zip(found, wanted, strict=True)]

    settings = study.claim.settings
    return {
        "benchmark": "study",
        "name": study.claim.name,
        "data": settings.data,
        "data_title": describe(settings.data).title,
        "profile": settings.profile,
        "measured_on": value,
        "finished": study.done,
        "claim": study.claim.to_json(),
        "contestants": rows,
        "accuracy": compared([("mix", name) for name in row if name != "mix"], [value]),
        "others": compared([(each["name"], "bp") for each in rows if each["kind"] == "other"], [value]),
        "costs": compared([("mix", "bp")], COSTS),
        "least_runs": LEAST_RUNS,
        "test_opened": openings(study),
        "seconds": round(sum(record.get("seconds", 0.0) for record in study.results.values()), 1),
        "ran_at": places(study.results.values()),
        "conditions": conditions(settings.resolve_device()),
    }


def passes(genotype: Genotype, settings: EvaluationSettings) -> int:
    """How often training goes through the data: `epochs`, and before them `layerwise_epochs` for each layer whose rule
    learns before the others.
    """
    entry, training = describe(settings.data), Training(**settings.training)  # type: ignore[arg-type]
    layers = spaces.graph(genotype, entry.shape, entry.classes).layers
    alone = sum(node.pair.declaration.order == "layerwise" for node in layers)
    return training.epochs + training.layerwise_epochs * alone


def _row(study: Study, contestant: Contestant, known: dict[str, float] | None) -> dict[str, Any]:
    """One contestant: each of its runs, and what they come to."""
    jobs = [job for job in study.finals(contestant) if job.key in study.results]
    runs = []
    for job in jobs:
        record = study.results[job.key]
        run: Record = {"seed": job.seed, "genotype": str(job.tuned), "status": record["status"]}
        run |= {"lr": job.lr, "threshold": job.threshold, "validation": record["accuracy"]}
        run |= {"passes": passes(job.tuned, study.claim.settings)}
        if known is not None:
            run["test"] = known[job.key]
        runs.append(run | record.get("costs", {}) | {"model": record.get("model"), "shares": record.get("shares")})
    row: dict[str, Any] = {"name": contestant.name, "kind": contestant.kind, "runs": runs, "tuning": []}
    row["passes"] = sorted({run["passes"] for run in runs})
    for variant in range(len(contestant.variants)):
        tries = study.tuning(contestant, variant)
        row["tuning"].append(
            [
                {"lr": lr, "threshold": threshold, "validation": study.accuracy(jobs)}
                for (lr, threshold), jobs in tries.items()
                if all(job.key in study.results for job in jobs)
            ]
        )
    for key in ("validation", "test", "locality", "mean_rate", *COSTS):
        if values := [run[key] for run in runs if key in run]:
            mean, deviation = mean_and_deviation(values)
            row[key] = {"mean": mean, "deviation": deviation, "runs": len(values)}
    if shares := [run["shares"] for run in runs if run["shares"]]:
        row["shares"] = {name: fmean(each[name] for each in shares) for name in shares[0]}
    return row


def _plain(comparison: Comparison, b: str, key: str) -> dict[str, Any]:
    return {**asdict(comparison), "b": b, "measured": key, "verdict": comparison.verdict}
