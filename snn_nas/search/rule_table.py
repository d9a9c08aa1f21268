"""The rule table that is shipped: every assignment of seven rules to the three hidden layers of one spiking network.

Each network was trained on Fashion-MNIST, the best ones several times; `docs/rule_table.md` is the datasheet, and
`benchmarks/rule_table.py` made it. With it, strategies that search for learning rules can be compared in seconds:

    space, table = rule_table.load()
    trace(create("evolution", space, objectives(["accuracy"])), table, trials=50)
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from snn_nas.genotype import Genotype, parse
from snn_nas.search.tabular import Table
from snn_nas.spaces import build
from snn_nas.spaces.space import Space

SHIPPED = Path(__file__).parent / "tables" / "fashion_rules.json"


@dataclass(frozen=True)
class Entry:
    """One network and its runs, the one with seed 0 first. Accuracies are shares; energies are in uJ, per image."""

    genotype: Genotype
    runs: tuple[Mapping[str, Any], ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """The rule of each hidden layer, in short: `gradient` alone stands for `frsf` below which nothing learns."""
        return tuple(str(gene.rule).replace("gradient", "frsf") for gene in self.genotype.genes[:-1])

    @cached_property
    def validation(self) -> float:
        """What a search sees: the accuracy of the run with seed 0 on the validation images, 0 where it died."""
        return float(self.runs[0].get("validation", 0.0))

    @cached_property
    def held_out(self) -> float:
        """What searches are compared by: the mean over all runs of the accuracy on the other images."""
        return statistics.mean(float(run.get("held_out", 0.0)) for run in self.runs)


def entries(path: Path = SHIPPED) -> list[Entry]:
    """All networks of a table.

    Raises:
        UserError: the file is no rule table.
    """
    return [Entry(parse(row["genotype"]), tuple(row["runs"])) for row in _read(path)["networks"] if row["runs"]]


def load(path: Path = SHIPPED) -> tuple[Space, Table]:
    """The space of the table and its results; all objectives for a search, accuracy to compare by.

    Raises:
        UserError: the file is no rule table.
    """
    content = _read(path)
    choices = dict(content["space"])
    name, _ = choices.pop("name"), choices.pop("data")
    space = build(name, shape=(1, 28, 28), classes=10, choices=choices)
    validation, test = {}, {}
    for entry in entries(path):
        costs = {key: value for key, value in entry.runs[0].items() if isinstance(value, float)}
        costs.pop("held_out", None)
        costs["accuracy"] = costs.pop("validation", 0.0)
        validation[entry.genotype.digest] = costs
        test[entry.genotype.digest] = {"accuracy": entry.held_out}
    return space, Table(content["name"], validation, test)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["networks"], content["space"]["name"]
    except OSError as error:
        raise UserError(f"cannot read the rule table {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is no rule table: benchmarks/rule_table.py makes one") from None
    return dict(content)
