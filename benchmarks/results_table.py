"""Writes RESULTS.md from the records of studies and of robustness: every claim with its numbers.

    python benchmarks/results_table.py           write it
    python benchmarks/results_table.py --check   fail if RESULTS.md says something else

Records lie under benchmarks/results, in any folder: `snn-nas study` and `snn-nas robustness` write them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rules.registry import rules
from snn_nas.report.words import energy, percent
from snn_nas.study.claim import every_rule
from snn_nas.study.table import points
from snn_nas.training_settings import REVISION

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "RESULTS.md"
LOCAL_MARGIN = 0.04
"""How far below bp a network at locality 1 may lie (claim 3)."""
REACH_MARGIN = 0.01
"""How far below bp a mix may lie that reaches it (claim 2): a point."""
NOT_YET = "not measured yet"

Record = dict[str, Any]
Found = tuple[str, Record]
"""A record and its path below the repository's root."""


def records(kind: str, folder: Path) -> Iterator[Found]:
    """Every finished record of a kind, by path; of studies, those whose test split was opened."""
    for path in sorted(folder.rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        ours = isinstance(record, dict) and record.get("benchmark") == kind and record.get("finished", True)
        if ours and record.get("measured_on", "test") == "test":
            yield str(path.relative_to(folder.parents[1])), record


def row(study: Record, name: str) -> Record:
    """A contestant of a study."""
    found: Record = next(each for each in study["contestants"] if each["name"] == name)
    return found


def accuracy(study: Record, name: str) -> str:
    """`91.20 % ± 0.31`."""
    found = row(study, name)[study["measured_on"]]
    return f"{percent(found['mean'], 2)} ± {100 * found['deviation']:.2f}"


def beats(study: Record) -> str:
    """Claim 1: the mix against single rules and random assignments; frozen stands beside them as the control.

    It is open while a rule of the registry, or chance, was not tried: whom it leaves out would be easy to beat.
    """
    lines = []
    verdicts = []
    for each in study["accuracy"]:
        if row(study, each["b"])["kind"] not in ("single", "frozen", "random"):
            continue
        verdicts.append((each["b"], each["verdict"]))
        lines.append(f"{each['b']} {accuracy(study, each['b'])}: {points(each)}, p = {each['p_holm']:.4f}")
    ahead = [name for name, verdict in verdicts if verdict == "higher"]
    names, wanted = {name for name, _ in verdicts}, (*every_rule(), "frozen", "random")
    missing = [name for name in wanted if name not in names]
    whole = "open: not every rule was tried" if missing else "holds"
    if len(ahead) < len(verdicts):
        whole = "does not hold of all"
    if any(verdict.startswith("no claim") for _, verdict in verdicts):
        whole = "no claim: too few runs"
    singles = [name for name in every_rule() if name in names]
    tried = f"{len(singles)} of {len(every_rule())} registered rules"
    if missing:
        tried += f"; not tried: {', '.join(missing)}"
    ahead_of = f"mix {accuracy(study, 'mix')}; against " + "; ".join(lines)
    return f"**{whole}** ({len(ahead)} of {len(verdicts)}; {tried}); {ahead_of}"


def within(study: Record, name: str, margin: float) -> str:
    """Whether a contestant is less than a margin below bp: its interval's lower end says so."""
    found = study["accuracy"] if name == "mix" else study["others"]
    each = next(one for one in found if one["a"] == name and one["b"] == "bp")
    if each["significant"] is None:
        whole = each["verdict"]
    else:
        whole = "holds" if each["low"] > -margin else "does not hold" if each["high"] < -margin else "open"
    return (
        f"**{whole}**; {name} {accuracy(study, name)}, bp {accuracy(study, 'bp')}: "
        f"{points(each)} (95 % interval; the margin is -{100 * margin:g})"
    )


def reaches(study: Record) -> str:
    """Claim 2."""
    return within(study, "mix", REACH_MARGIN)


def local(study: Record) -> str | None:
    """Claim 3: whichever mixes of the study have locality 1."""
    mixes = [each["name"] for each in study["contestants"] if each["kind"] in ("mix", "other")]
    found = [name for name in mixes if row(study, name).get("locality", {}).get("mean", 0.0) > 1.0 - 1e-9]
    return "; ".join(within(study, name, LOCAL_MARGIN) for name in found) or None


def cheaper(study: Record) -> str | None:
    """Claim 5."""
    lines = []
    for each in study["costs"]:
        what = {"energy_uJ": "inference", "learning_energy_uJ": "learning"}[each["measured"]]
        ours, theirs = (energy(row(study, name)[each["measured"]]["mean"]) for name in ("mix", "bp"))
        told = {"lower": "holds", "higher": "does not hold", "not told apart": "open"}.get(
            each["verdict"], each["verdict"]
        )
        lines.append(f"{what}: **{told}**, mix {ours}, bp {theirs} (p = {each['p_holm']:.4f})")
    return f"{'; '.join(lines)}; profile {study['profile']}" if lines else None


def robust(record: Record) -> str | None:
    """Claim 4: the worst case over attacks at every eps, and corruptions."""
    lines, verdicts = [], []
    for each in record["comparisons"]:
        if each["a"] == "mix" and (each["measured"].startswith("worst") or each["measured"] == "corrupted"):
            numbers = [record["groups"][name]["numbers"][each["measured"]]["mean"] for name in ("mix", "bp")]
            ours, theirs = map(percent, numbers)
            verdicts.append(each["verdict"])
            lines.append(f"{each['measured']}: mix {ours}, bp {theirs}, {points(each)}, p = {each['p_holm']:.4f}")
    if not lines:
        return None
    whole = "holds" if all(verdict == "higher" for verdict in verdicts) else "does not hold of all"
    if any(verdict.startswith("no claim") for verdict in verdicts):
        whole = "no claim: too few runs"
    failed = record["failed_checks"]
    if failed or record["diverged"]:  # whose figures are not to be believed, or not there, decides nothing
        whole = "open"
    checked = f"; {len(failed)} sanity checks do not hold" if failed else "; every sanity check holds"
    if record["diverged"]:
        checked += f"; diverged, and counted as 0: {', '.join(record['diverged'])}"
    return f"**{whole}**; " + "; ".join(lines) + checked


def beforehand(record: Record, folder: Path) -> str:
    """What is to be known before a record's figures: that its networks are not those of now, or not the study's."""
    said = []
    if record["benchmark"] == "robustness":
        studies = [study for _, study in records("study", folder) if study["data_title"] == record["data_title"]]
        mix = record["groups"].get("mix", {}).get("genotype")
        if studies and mix not in [run["genotype"] for study in studies for run in study["contestants"][0]["runs"]]:
            said.append("of another mix than the study's")
    if record["conditions"].get("training") != REVISION:
        said.append("[trained by an earlier version](docs/training.md#how-fast-weights-are-forgotten)")
    return f"{', '.join(said)}: " if said else ""


CLAIMS: list[tuple[str, str, Callable[[Record], str | None]]] = [
    ("1. Searched mixed rules beat every single rule other than bp, and random assignment.", "study", beats),
    ("2. The mix reaches its bp twin's accuracy (within a point).", "study", reaches),
    ("3. At locality 1, no transported error anywhere, it is within 4 points of bp.", "study", local),
    ("4. It is more robust than its bp twin.", "robustness", robust),
    ("5. It costs less energy than its bp twin, for inference and for learning.", "study", cheaper),
]
INTENDED = ("CIFAR-10 (JPEG-75)", "CIFAR-100", "Fashion-MNIST")
"""Where the claims are to be tested; what was measured elsewhere stands below them."""


def page(folder: Path) -> str:
    """The whole page."""
    alone = ", ".join(name for name, declaration in rules().items() if declaration.order == "layerwise")
    lines = [
        "# Results",
        "",
        "Made by `benchmarks/results_table.py` from the records in [benchmarks/results](benchmarks/results); what a "
        "study is, and what its words mean, is in [docs/evidence.md](docs/evidence.md). Accuracies are of a test split "
        "that was opened once, after every run was done. Every contestant has the same architecture, data, epochs, "
        f"seeds and number of tuning tries; layers whose rule learns before the others ({alone}) take passes of their "
        "own over the data besides, and the tables say how many passes that makes. A claim holds where every "
        "comparison that it needs is significant after Holm's correction (claims 1, 4, 5), or where the 95 % interval "
        "lies within the margin (claims 2, 3). Claim 1 is open while a registered rule was not tried, claim 4 where a "
        "sanity check fails or a run diverged.",
    ]
    for title, kind, says in CLAIMS:
        lines += ["", f"## {title}", "", "| data | what was measured | record |", "|---|---|---|"]
        found = [
            (record["data_title"], f"{beforehand(record, folder)}{text}", path)
            for path, record in records(kind, folder)
            if (text := says(record))
        ]
        known = [data for data, _, _ in found]
        lines += [f"| {data} | {NOT_YET} | |" for data in INTENDED if data not in known]
        lines += [f"| {data} | {text} | [{Path(path).parent.name}]({path}) |" for data, text, path in found]
    lines += ["", *_tables(folder)]
    return "\n".join(lines).rstrip() + "\n"


def _tables(folder: Path) -> list[str]:
    """The studies and measurements whole."""
    from snn_nas.robustness.table import table as robustness
    from snn_nas.study.table import table as study

    lines: list[str] = []
    for path, record in records("study", folder):
        lines += [f"## {record['data_title']}: {record['name']}", "", f"`{record['claim']['genotype']}`", ""]
        picture = Path(path).with_suffix(".png")
        if (folder.parents[1] / picture).exists():
            lines += [f"![Accuracy and energy of every contestant]({picture})", ""]
        lines += [study(record), f"{_conditions(record)}; record: [{path}]({path})", ""]
    for path, record in records("robustness", folder):
        lines += [f"## {record['data_title']}: robustness", "", robustness(record)]
        lines += [f"{_conditions(record)}; record: [{path}]({path})", ""]
    return lines


def _conditions(record: Record) -> str:
    """Where the runs ran, all of the places; for the rest, the process that wrote the record."""
    seen, ran = record["conditions"], record.get("ran_at", {})
    devices = ran.get("device") or [seen["device"]]
    commits = ran.get("commit") or [str(seen["commit"])]
    counted = "commit" if len(commits) == 1 else "commits"
    torch = seen["versions"]["torch"]
    return f"{' and '.join(devices)}, torch {torch}, {counted} {', '.join(commits)}, {seen['at']}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    wanted = page(RESULTS)
    if options.check:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted
        sys.exit(0 if same else "RESULTS.md is not that of the records; run benchmarks/results_table.py")
    PAGE.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
