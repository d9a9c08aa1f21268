"""The test split of a study: opened once, when every job is done, for all final networks together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from neurons.errors import UserError
from snn_nas.study.jobs import Job, Record
from snn_nas.study.study import Study


def measured(study: Study) -> dict[str, float] | None:
    """The test accuracy of every final job by its key; None until all are known."""
    found = _measured_yet(study)
    return found if study.done and found.keys() >= _finals(study).keys() else None


def openings(study: Study) -> list[Record]:
    """When and why the split was opened: once, unless the machine died while the accuracies were measured."""
    return [record["opened"] for record in study.notes if "opened" in record]


def open_test(study: Study, on_done: Callable[[Job, float, int], None] | None = None) -> dict[str, float]:
    """Measure every final network on the test split; what was measured before is not measured again.

    The opening is written down before the first accuracy is known. A run that diverged has no network, and is worth
    what guessing is. `on_done` gets each job with its accuracy and how many are left.

    Raises:
        UserError: jobs are left, or a network's file is missing.
    """
    from snn_nas.export import weights
    from snn_nas.training import accuracy

    if not study.done:
        raise UserError("the test split stays shut until every job of the study is done")
    finals, found = _finals(study), _measured_yet(study)
    left = [job for key, job in finals.items() if key not in found]
    if not left:
        return found
    paths = {job: study.folder / job.model for job in left if study.results[job.key]["status"] == "ok"}
    for path in paths.values():
        if not path.is_file():
            raise UserError(f"{path} is missing: the final networks must all be there; start again in a new folder")
    settings = study.claim.settings
    device = settings.resolve_device()
    data = settings.load(study.contestants[0].variants[0], "train")
    split = data.test.open(f"study {study.claim.name}: final accuracy of all {len(finals)} networks")
    study.note({"opened": asdict(data.test.openings[-1])})
    for number, job in enumerate(left, start=1):
        value = 1.0 / data.classes
        if job in paths:
            network = weights.load(paths[job], backend=settings.backend).to(device)
            value = accuracy(network, split, device=device)
        found[job.key] = value
        study.note({"test": {job.key: value}})
        if on_done is not None:
            on_done(job, value, len(left) - number)
    return found


def _finals(study: Study) -> dict[str, Job]:
    return {job.key: job for each in study.contestants for job in study.finals(each)}


def _measured_yet(study: Study) -> dict[str, float]:
    return {key: value for record in study.notes for key, value in record.get("test", {}).items()}
