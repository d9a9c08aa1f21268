"""Counts and the connection map for tools outside: JSON with a schema, and CSV.

The JSON holds the activity as it is (`snn_nas.energy.activity`) and each layer's geometry and fan-out map, from which
every synaptic operation can be counted again. The CSV has one row for each node and time step.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from snn_nas.energy.activity import Activity
from snn_nas.energy.connections import fan_out
from snn_nas.graph import Graph
from snn_nas.search.files import write_bytes, write_json

_STEPS = ("events", "synops", "macs", "adds", "biases", "spikes")
SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "activity.schema.json").read_text(encoding="utf-8"))
"""JSON schema of `to_json`; `snn-nas export --schema` prints it."""


def to_json(activity: Activity, graph: Graph) -> dict[str, Any]:
    """The activity and the connection map, as plain JSON that fits `SCHEMA`."""
    layers = []
    for node in graph.layers:
        assert node.synapse is not None
        shape, synapse = graph[node.inputs[0]].shape, node.synapse
        fields = ("kind", "c_in", "c_out", "kernel", "stride", "padding", "dilation", "groups")
        layers.append(
            {
                "name": node.name,
                "inputs": list(node.inputs),
                "input_shape": list(shape),
                "shape": list(node.shape),
                "synapse": {name: getattr(synapse, name) for name in fields},
                "rule": node.pair.name,
                "fan_out": fan_out(synapse, shape).tolist(),
            }
        )
    return {**activity.to_json(), "layers": layers}


def to_csv(activity: Activity) -> str:
    """One row for each node and time step, per inference, with a header."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("node", "op", "input", "step", *_STEPS))
    for node in activity.nodes:
        for step in range(activity.T):
            rows.writerow(
                (node.name, node.op, node.signal, step, *(repr(getattr(node, what)[step]) for what in _STEPS))
            )
    return text.getvalue()


def save(activity: Activity, graph: Graph, path: str | Path) -> None:
    """Write `to_json`, or `to_csv` where the path ends in `.csv`; all or nothing.

    Raises:
        UserError: the path ends in neither `.json` nor `.csv`.
    """
    path = Path(path)
    if path.suffix not in (".json", ".csv"):
        raise UserError(f"{path}: an activity record ends in .json or .csv")
    if path.suffix == ".csv":
        write_bytes(path, to_csv(activity).encode())
    else:
        write_json(path, to_json(activity, graph))
