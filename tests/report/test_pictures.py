import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from snn_nas.credit import check
from snn_nas.genotype import parse
from snn_nas.report import load, words
from snn_nas.report.figures import PICTURES
from snn_nas.report.figures.layout import LOSS, broadcasts, errors, place, shortcuts
from snn_nas.report.style import DARK, LIGHT, drawing, on, rule_colour, stroke
from snn_nas.spaces import registry
from tests.report.conftest import CLASSES, MIXED, SHAPE, TRANSPORTED

Make = Callable[..., Path]
DEEP = (
    "chain(T=2) { "
    + "; ".join(["conv(c=8,k=3)@usf/lif", *["conv(c=8,k=3,skip=1)@usf/lif"] * 20])
    + "; readout@delta~usf }"
)


def credit(text: str):  # type: ignore[no-untyped-def]
    return check(registry.graph(parse(text), SHAPE, CLASSES))


def test_errors_run_where_the_credit_check_lets_them() -> None:
    assert errors(credit(MIXED)) == [("readout", "layer5", "usf"), ("layer5", "layer4", "frsf")]
    assert errors(credit(TRANSPORTED)) == [("readout", "layer3", "usf"), ("layer3", "layer2", "usf")]
    heard = broadcasts(credit(MIXED).graph)
    assert {rule: [node.name for node in nodes] for rule, nodes in heard.items()} == {"dfa": ["layer3"]}
    assert list(shortcuts(credit(MIXED).graph)) == [("layer1", "layer2_pointwise"), ("layer4", "layer5")]


@pytest.mark.parametrize("text", [MIXED, TRANSPORTED, DEEP])
def test_columns_and_lanes_do_not_overlap(text: str) -> None:
    graph = credit(text).graph
    layout = place(credit(text))
    boxes = [layout.boxes[node.name] for node in graph]
    for left, right in pairwise(boxes):
        assert left.x + left.width / 2 < right.x - right.width / 2
    at = {name: box.x for name, box in layout.boxes.items()} | {LOSS: layout.loss}
    for wires in (layout.errors, layout.shortcuts):
        for i, one in enumerate(wires):
            for other in wires[:i]:
                if one.lane == other.lane:
                    a, b = sorted((at[one.start], at[one.end])), sorted((at[other.start], at[other.end]))
                    assert a[1] <= b[0] or b[1] <= a[0]


@pytest.mark.parametrize("genotype", [TRANSPORTED, DEEP])
def test_the_winner_of_any_depth_is_drawn(make_run: Make, genotype: str) -> None:
    run = load(make_run(genotype=genotype, trials=2))
    for picture in PICTURES:
        if picture.needs_winner:
            with drawing(DARK):
                assert picture.draw(run, DARK) is not None


def test_texts_read_on_every_rule_and_paper() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for name in (
        "bp",
        "fa",
        "usf",
        "brsf",
        "frsf",
        "kp",
        "gradient",
        "dfa",
        "local",
        "predsim",
        "stdp",
        "frozen",
        "delta~usf",
    ):
        colour = rule_colour(name)
        assert contrast(colour, on(colour)) >= 3, name
        for theme in (LIGHT, DARK):
            assert contrast(stroke(colour, theme), theme.paper) >= 3.3, name
    assert rule_colour("no such rule") == "#888888"


def test_numbers_read_well() -> None:
    assert [words.energy(x) for x in (0.0, 8.12e-4, 0.01531, 0.9996, 12.34, 4560.0)] == [
        "0 pJ", "812 pJ", "15.3 nJ", "1.00 µJ", "12.3 µJ", "4.56 mJ",
    ]  # fmt: skip
    assert words.percent(0.956) == "95.6 %"
    assert words.percent(None) == words.NONE
    assert [words.count(x) for x in (None, 0.45, 4.0, 12345.6)] == [words.NONE, "0.45", "4", "12,346"]
    assert [words.count(x) for x in (10**15 - 1, 3679 * 10**29, 10**400)] == [
        "999,999,999,999,999", "3.68e+32", "1.00e+400",
    ]  # fmt: skip
    assert [words.duration(x) for x in (3.21, 200, 7500)] == ["3.21 s", "3 min 20 s", "2 h 05 min"]
    assert words.metric("learning_energy_uJ", 1.0) == "1.00 µJ"
    assert [words.metric("latency_us", x) for x in (0.812, 12.34, 4560.0, None)] == [
        "812 ns", "12.3 µs", "4.56 ms", words.NONE,
    ]  # fmt: skip
    assert words.metric("latency_steps", 7.0) == "7"
    assert words.on_profile("latency_us")
    assert not words.on_profile("latency_steps")
    assert words.rules_of("no genotype") == []
