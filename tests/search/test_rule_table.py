"""The rule table's loader, and a search on it."""

import json
from pathlib import Path

import pytest

from neurons.errors import UserError
from snn_nas.search import create, objectives, rule_table
from snn_nas.search.tabular import trace
from snn_nas.spaces import build

SPACE = {
    "name": "chain", "data": "fashion_mnist", "depth": [2], "ops": ["conv"], "widths": [8], "kernels": [3],
    "downs": ["avg"], "skips": [0], "T": [2], "readouts": ["frsf"], "rules": ["frsf", "local", "frozen"],
    "neurons": ["lif"],
}  # fmt: skip
WORTH = {"gradient": 0.3, "frsf": 0.3, "local": 0.2, "frozen": 0.1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    choices = {key: value for key, value in SPACE.items() if key not in ("name", "data")}
    space = build("chain", shape=(1, 28, 28), classes=10, choices=choices)
    networks = []
    for genotype in {str(g): g for first in [_first(space)] for g in [first, *_all(space, first)]}.values():
        accuracy = sum(WORTH[gene.rule.name] for gene in genotype.genes[:-1] if gene.rule)
        run = {"status": "ok", "validation": accuracy, "energy_uJ": 1.0, "locality": 1.0}
        runs = [{**run, "seed": 0, "held_out": accuracy - 0.02}, {**run, "seed": 1, "held_out": accuracy + 0.04}]
        networks.append({"genotype": str(genotype), "runs": runs})
    assert len(networks) == space.size()
    networks[0]["runs"] = [{"seed": 0, "status": "dead"}]
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"name": "made up", "space": SPACE, "budget": {}, "networks": networks}))
    return file


def _first(space):  # type: ignore[no-untyped-def]
    import random

    return space.sample(random.Random(0))


def _all(space, first):  # type: ignore[no-untyped-def]
    """Every network that can be reached by changes of one rule."""
    found, edge = {first.digest: first}, [first]
    while edge:
        for other in space.neighbours(edge.pop()):
            if other.digest not in found:
                found[other.digest] = other
                edge.append(other)
    return found.values()


def test_a_search_sees_the_first_run_and_is_compared_by_all(path: Path) -> None:
    space, table = rule_table.load(path)
    assert len(table.validation) == len(table.test) == space.size()
    entries = {entry.genotype.digest: entry for entry in rule_table.entries(path)}
    best = max(entries.values(), key=lambda entry: entry.validation)
    assert best.rules == ("frsf", "frsf")
    seen = table.evaluate(best.genotype).metrics
    assert seen["accuracy"] == pytest.approx(0.6)
    assert "held_out" not in seen
    assert "validation" not in seen
    assert seen["energy_uJ"] == 1.0
    assert table.test[best.genotype.digest]["accuracy"] == pytest.approx(0.61)
    found = trace(create("local_search", space, objectives(["accuracy"]), 0), table, space.size())
    assert found[-1] == pytest.approx(0.61)


def test_a_dead_network_has_accuracy_nothing(path: Path) -> None:
    dead = rule_table.entries(path)[0]
    assert (dead.validation, dead.held_out) == (0.0, 0.0)
    _, table = rule_table.load(path)
    assert table.evaluate(dead.genotype).metrics["accuracy"] == 0.0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"networks": []}'])
def test_what_is_no_table_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(content)
    with pytest.raises(UserError, match="is no rule table"):
        rule_table.load(file)
    with pytest.raises(UserError, match="cannot read"):
        rule_table.load(tmp_path / "nowhere.json")
