"""A record of robustness as a table in Markdown."""

from __future__ import annotations

from typing import Any

from snn_nas.report.words import NONE, percent
from snn_nas.study.table import markdown, points


def table(record: dict[str, Any]) -> str:
    """A row a measurement, a column a group; then what did not hold of the sanity checks."""
    groups = record["groups"]
    compared = {(each["a"], each["measured"]): each for each in record["comparisons"]}
    first = next((a for a, _ in compared), None)
    heads = ["accuracy on", *groups] + (["ahead of bp by", "p (Holm)", "verdict"] if first else [])
    rows = []
    for name in dict.fromkeys(name for group in groups.values() for name in group["numbers"]):
        cells = [_shown(name), *(_number(group["numbers"].get(name)) for group in groups.values())]
        if first:
            each = compared.get((first, name))
            cells += [NONE] * 3 if each is None else [points(each), f"{each['p_holm']:.4f}", each["verdict"]]
        rows.append(cells)
    return "\n".join([*markdown(heads, rows), "", *_notes(record)]) + "\n"


def _shown(name: str) -> str:
    return {"accuracy": "clean images", "corrupted": "corrupted images (mean)"}.get(name, name)


def _number(found: dict[str, Any] | None) -> str:
    if found is None:
        return NONE
    spread = f" ± {100 * found['deviation']:.2f}" if found["runs"] > 1 else ""
    return percent(found["mean"], 2) + spread


def _notes(record: dict[str, Any]) -> list[str]:
    plan = record["plan"]
    kinds = ", ".join(next(iter(record["groups"].values()))["corruptions"])
    notes = [
        f"{record['data_title']}, {record['images']} {record['split']} images in [0, 1], maximum norm; pgd and apgd "
        f"take {plan['steps']} steps, square {plan['queries']} queries. Gradients are exact through substitutes of the "
        f"same weights, with pseudo-derivatives {' and '.join(f'{k:g}' for k in plan['sharpness'])} times as sharp as "
        f"the network's own, of which the worse counts. worst: no attack of the four breaks the image; transfer: pgd's "
        f"images of the bp twin. Corruptions: {kinds}, five severities.",
    ]
    if record["diverged"]:
        notes += ["", f"Diverged in training, and counted as 0 everywhere: {'; '.join(record['diverged'])}."]
    notes += [
        line
        for each in record["test_opened"]
        for line in ("", f"The test split was opened at {each['at']} ({each['reason']}).")
    ]
    failed = record["failed_checks"]
    if not failed:
        return [*notes, "", "Every sanity check holds: no stronger attack is weaker, eps = 1 reaches about 0, ..."]
    lines = [f"- {each['network']}: {each['name']} DOES NOT HOLD ({each['detail']})" for each in failed]
    return [*notes, "", "Sanity checks that do not hold; trust `worst` and nothing else:", "", *lines]
