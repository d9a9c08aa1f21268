"""The record for outside tools: it fits its schema, and from it every operation can be counted again."""

import csv
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from neurons.errors import UserError
from snn_nas.cli import cli
from snn_nas.energy.counter import count
from snn_nas.export.activity import SCHEMA, save, to_json
from tests.export.conftest import Make

TEXT = (
    "chain(T=3) { conv(c=6,down=avg)@bp/lif; sepconv(c=6,k=5,skip=1)@frsf/lif; conv(c=8,down=max)@frsf/if; "
    "readout@delta~usf }"
)


def test_the_record_fits_its_schema(make: Make, tmp_path: Path) -> None:
    network = make(TEXT)
    activity = count(network, [torch.rand(4, 3, 12, 12)])
    save(activity, network.graph, tmp_path / "a.json")
    record = json.loads((tmp_path / "a.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    assert record == json.loads(json.dumps(to_json(activity, network.graph)))
    wrong: list[dict[str, object]] = [{"more": 1}, {"T": 0}, {"layers": [{**record["layers"][0], "fan_out": "all"}]}]
    for change in (*wrong, {"conventions": {"static": "once"}}, {"nodes": [{**record["nodes"][0], "spikes": [-1.0]}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate({**record, **change})
    for layer, node in zip(record["layers"], activity.layers, strict=True):
        fan = np.array(layer["fan_out"])
        assert fan.sum() * layer["synapse"]["c_in"] == node.connections
        assert layer["inputs"]


def test_another_ending_is_an_error(make: Make, tmp_path: Path) -> None:
    network = make(TEXT)
    with pytest.raises(UserError, match=r"a\.txt: an activity record ends in \.json or \.csv"):
        save(count(network, [torch.rand(4, 3, 12, 12)]), network.graph, tmp_path / "a.txt")
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_row_for_every_node_and_step(make: Make, tmp_path: Path) -> None:
    network = make(TEXT)
    activity = count(network, [torch.rand(4, 3, 12, 12)])
    save(activity, network.graph, tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert len(rows) == 3 * len(activity.nodes)
    assert sum(float(row["synops"]) for row in rows) == pytest.approx(activity.total("synops"))
    assert [row["step"] for row in rows[:3]] == ["0", "1", "2"]


def test_the_schema_is_published() -> None:
    done = CliRunner().invoke(cli, ["export", "--schema"], standalone_mode=False)
    assert json.loads(done.output) == SCHEMA
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
