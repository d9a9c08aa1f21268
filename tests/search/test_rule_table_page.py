"""docs/rule_table.md says what the shipped table says, and its comparisons are fair."""

from __future__ import annotations

import itertools
import random

import pytest

from docs import make_rule_table as script
from snn_nas.genotype import parse
from snn_nas.search.rule_table import Entry, entries

RULES = ("dfa", "eprop", "frozen", "frsf", "local", "softhebb", "stdp")


def test_the_page_is_what_its_script_writes() -> None:
    assert script.page() == script.PAGE.read_text(encoding="utf-8"), "run: python docs/make_rule_table.py"


def test_what_the_page_says_in_words_is_so() -> None:
    """The figures follow the table by themselves; what is said of them does not."""
    networks = list(entries())
    worth = {rule: [each or 0.0 for each in row] for rule, row in script.effects(networks).items()}
    needs_none = ("softhebb", "frozen", "stdp")
    assert min(worth["frsf"][2], worth["local"][2]) > max(worth[rule][2] for rule in needs_none)
    for column in range(2):
        assert worth["stdp"][column] > max(worth["local"][column] - 0.5, worth["frozen"][column])
    assert min(worth["stdp"][4], worth["softhebb"][4]) >= worth["frsf"][4]

    def above(rule: str) -> float:
        found = [one.held_out for one in networks if one.rules[1:] == (rule, "stdp")]
        return 100 * sum(found) / len(found)

    assert min(above("softhebb"), above("stdp")) > above("frozen") + 2
    for rule in worth.keys() - {"frsf", *needs_none}:
        assert above(rule) < above("frozen") + 1


def _entry(rules: tuple[str, ...], held_out: float) -> Entry:
    """A network with these rules; `frsf` stands where an error passes."""
    layers = "; ".join(f"conv(c=8)@{rule}/lif" for rule in rules)
    carrier = "~frsf" if rules[-1] == "frsf" else ""
    return Entry(parse(f"chain(T=2) {{ {layers}; readout@delta{carrier} }}"), ({"held_out": held_out},))


def _valid(rules: tuple[str, ...]) -> bool:
    """`frsf` has an error only from `frsf` above it, or from the readout."""
    return all(above == "frsf" for rule, above in itertools.pairwise(rules) if rule == "frsf")


def test_every_rule_of_a_column_has_the_same_company() -> None:
    """Effects that add up are found as they are, though `frsf` stands in good company only."""
    worth = {rule: 0.01 * number for number, rule in enumerate(RULES)}
    all_of = [rules for rules in itertools.product(RULES, repeat=3) if _valid(rules)]
    assert len(all_of) == 259
    networks = [_entry(rules, 0.5 + sum(worth[rule] for rule in rules)) for rules in all_of]
    for column in range(5):
        found = {rule: row[column] for rule, row in script.effects(networks).items() if row[column] is not None}
        assert set(RULES) - set(found) <= {"frsf"}
        for rule, mean in found.items():
            assert mean - found["dfa"] == pytest.approx(100 * (worth[rule] - worth["dfa"])), (column, rule)


def test_the_shares_of_the_variance_add_up() -> None:
    rng = random.Random(0)
    others = [rule for rule in RULES if rule != "frsf"]
    noise = [_entry(rules, rng.random()) for rules in itertools.product(others, repeat=3)]
    assert sum(script.shares(noise).values()) == pytest.approx(1.0)
    first = [_entry(rules, 0.1 * others.index(rules[0])) for rules in itertools.product(others, repeat=3)]
    assert script.shares(first)[0,] == pytest.approx(1.0)
    pair = [_entry(rules, float(rules[0] == rules[1])) for rules in itertools.product(others, repeat=3)]
    assert script.shares(pair)[0, 1] == pytest.approx(1.0)
    assert script.shares(pair)[0, 2] == pytest.approx(0.0)


def test_nobody_beats_a_network_of_the_front_and_somebody_beats_every_other() -> None:
    def run(one: Entry) -> tuple[float, float]:
        return sum(run["validation"] for run in one.runs) / len(one.runs), one.runs[0]["learning_energy_uJ"]

    networks = entries()
    best = script.frontier(networks)
    assert best == sorted(best, key=lambda one: run(one)[1])
    for one in networks:
        accuracy, energy = run(one)
        beaten = any(a >= accuracy and e <= energy and (a, e) != (accuracy, energy) for a, e in map(run, networks))
        assert beaten == (one not in best), one.rules
