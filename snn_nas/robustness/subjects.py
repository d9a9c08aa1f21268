"""Whose robustness is measured: one saved network and perhaps its twin, or the final networks of a study."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neurons.errors import UserError
from snn_nas.conclusion import RECORD
from snn_nas.controls import bp_twin
from snn_nas.export.weights import read_header
from snn_nas.genotype import Genotype, parse
from snn_nas.search.files import noted
from snn_nas.search.journal import Journal
from snn_nas.spaces import canonical
from snn_nas.study.study import JOURNAL

STUDY = "study.json"
TWIN = "bp"


@dataclass(frozen=True, slots=True)
class Subject:
    """A saved network: the group to which it belongs, its seed, and the twin whose images are tried on it too.

    A run that diverged left no network, and has no `path`; left out, it would flatter a rule that fails on some seeds.
    """

    group: str
    seed: int
    path: Path | None
    twin: Path | None = None

    @property
    def key(self) -> str:
        """Its name in a journal."""
        return f"{self.group}/{self.seed}"

    @property
    def digests(self) -> list[str | None]:
        """SHA-256 of its file and of its twin's: a name in a journal says nothing of what lies under it by now."""
        files = (self.path, self.twin)
        return [None if path is None else hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def single(model: Path, twin: Path | None) -> list[Subject]:
    """A network, and its twin where there is one: what is said of the one is worth little without the other.

    Raises:
        UserError: a file is no network of ours, or the twin is not the model under back-propagation.
    """
    said = noted(model.parent / RECORD, "conditions")
    seed = said.get("seed", 0) if isinstance(said, dict) else 0
    found = [Subject("network", seed, model, twin)]
    if twin is not None:
        expected = _spelled(model, bp_twin)
        if _spelled(twin, lambda genotype: genotype) != expected:
            raise UserError(f"{twin} is no bp twin of {model}: that would be {expected}")
        found.append(Subject(TWIN, seed, twin))
    return found


def _spelled(path: Path, change: Callable[[Genotype], Genotype]) -> str:
    header = read_header(path)
    return str(canonical(change(parse(header["genotype"])), tuple(header["shape"]), header["classes"]))


def is_study(folder: Path) -> bool:
    """Whether a study was begun in this folder."""
    return (folder / JOURNAL).is_file() and any("study" in record for record in Journal(folder / JOURNAL).read()[:1])


def of_study(folder: Path, groups: Sequence[str], split: str = "validation") -> list[Subject]:
    """The final networks of these contestants of a study, all seeds; each seed's bp network is the others' twin.

    Raises:
        UserError: the study is unfinished, it has no such contestant, or it did not open its own test split before
            this one is attacked on it.
    """
    if not noted(folder / STUDY, "finished"):
        raise UserError(f"the study in {folder} is unfinished: run its command again, which goes on with it")
    journal = Journal(folder / JOURNAL).read()
    records = [record for record in journal if record.get("phase") == "final"]
    known = {key for record in journal for key in record.get("test", {})}
    if split == "test" and any(record["key"] not in known for record in records):
        raise UserError(f"the study in {folder} has not opened its test split yet: run its command without --no-test")
    names = list(dict.fromkeys(record["contestant"] for record in records))
    for group in groups:
        if group not in names:
            there = ", ".join(names) or "none"
            raise UserError(f"the study in {folder} has no final runs of {group!r}; it has {there}")
    twins = {r["seed"]: folder / r["model"] for r in records if r["contestant"] == TWIN and r["status"] == "ok"}
    found = []
    for group in groups:
        for record in records:
            if record["contestant"] == group:
                path = folder / record["model"] if record["status"] == "ok" else None
                found.append(Subject(group, record["seed"], path, None if group == TWIN else twins.get(record["seed"])))
    return sorted(found, key=lambda subject: subject.seed)
