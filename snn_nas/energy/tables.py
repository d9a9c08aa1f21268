"""Plain rows for tables and pictures, beside `Activity.rows` and `Energy.rows`: every row names its profile."""

from __future__ import annotations

from collections.abc import Iterable

from snn_nas.energy.activity import Activity
from snn_nas.energy.inference import inference_energy
from snn_nas.energy.learning import learning_energy
from snn_nas.energy.profile import profile, profiles
from snn_nas.graph import Graph

Row = dict[str, str | float | None]


def by_profile(activity: Activity, graph: Graph, names: Iterable[str] | None = None) -> list[Row]:
    """One row a profile: what an inference and learning from one sample cost, and what is missing from the sums.

    `names` are profiles or paths of files; None is every shipped one. A profile without figures has None for energies.

    Raises:
        UserError: an unknown profile.
    """
    rows: list[Row] = []
    for name in profiles() if names is None else names:
        priced = profile(name)
        row: Row = {
            "profile": priced.name,
            "kind": priced.kind,
            "inference_uJ": None,
            "learning_uJ": None,
            "missing": "",
        }
        if priced.known:
            learning = learning_energy(activity, graph, priced)
            row["inference_uJ"] = inference_energy(activity, graph, priced).total_uJ
            row["learning_uJ"] = None if "learning updates" in learning.missing else learning.total_uJ
            row["missing"] = ", ".join(learning.missing)
        else:
            row["missing"] = "everything"
        rows.append(row)
    return rows
