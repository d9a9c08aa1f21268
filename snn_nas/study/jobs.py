"""The jobs of a study: a tuning run or a final run of one contestant. Each is one line of the journal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from snn_nas.conditions import place
from snn_nas.controls import with_threshold
from snn_nas.evaluation import EvaluationSettings, fit, loaded, measure
from snn_nas.genotype import Genotype, parse

TUNING_SEED = 1_000_000
"""Tuning runs take seeds from here on, so that no final run repeats one."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One network to train.

    `lr` and `threshold` are factors: on the learning rates and thresholds that the genotype and the settings have.
    """

    phase: Literal["tune", "final"]
    contestant: str
    variant: int
    genotype: str
    seed: int
    lr: float
    threshold: float

    @property
    def key(self) -> str:
        """The job's name in the journal."""
        point = f"lr{self.lr:g}_threshold{self.threshold:g}"
        return f"{self.phase}/{self.contestant}/{self.variant}/{point}/{self.seed}"

    @property
    def model(self) -> str:
        """The file of a final run's weights, within the study's folder.

        The digest tells apart whoever is called alike once a name is spelled as a file's: `dfa(feedback=learned)`
        and a mix called `dfa_feedback_learned_`.
        """
        name = "".join(letter if letter.isalnum() else "-" for letter in self.contestant)
        return f"models/{name}-{self.tuned.digest}-{self.seed}.safetensors"

    @property
    def tuned(self) -> Genotype:
        """The genotype at this threshold."""
        return with_threshold(parse(self.genotype), self.threshold)


def run(job: Job, settings: EvaluationSettings, folder: Path) -> Record:
    """Train and measure on validation data; a final run saves its weights and costs too.

    A run whose loss is no number is worth what guessing is, so that no rule gains by failing on some seeds; a network
    that falls silent is trained to the end and counts as it is. Each run says where it ran: a study may go on at
    another commit, or on another device.
    """
    from snn_nas.export import weights
    from snn_nas.training import Diverged

    started = perf_counter()
    data = loaded(settings, job.tuned)
    training = {**settings.training, "lr": float(settings.training.get("lr", 1.0)) * job.lr}
    own = replace(settings, training=training)
    record: Record = {"key": job.key, "contestant": job.contestant, "phase": job.phase, "seed": job.seed}
    record |= place(settings.resolve_device())
    try:
        network, history = fit(job.tuned, own, data, job.seed, patient=True)
    except Diverged as error:
        return {**record, "status": "diverged", "reason": str(error), "accuracy": 1.0 / data.classes}
    record |= {"status": "ok", "accuracy": history[-1].accuracy}
    if job.phase == "final":
        path = folder / job.model
        path.parent.mkdir(parents=True, exist_ok=True)
        weights.save(network, path, dataset=data.name, class_names=data.class_names, split=settings.split())
        record |= {"model": job.model, "costs": measure(network, data, own), "shares": dict(network.credit.shares)}
    return {**record, "seconds": round(perf_counter() - started, 2)}
