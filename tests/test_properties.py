"""Whatever a user types is taken or refused in one line: never a traceback. One property for each place of entry.

Inputs are near what is right: a random text is refused at its first character, and finds nothing. The readers of files
have a fuzzer of their own.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurons.errors import UserError
from neurons.registry import BACKENDS, declaration, encoding
from neurons.settings import Setting, resolve
from rules.registry import TRANSPORTS, Declaration, names, pair
from snn_nas import spaces
from snn_nas.credit import check
from snn_nas.evaluation import EvaluationSettings
from snn_nas.genotype import parse
from snn_nas.nni.messages import BARS, GENOTYPE, SEED, final_metric, parameters, result_of
from snn_nas.nni.study import DEFAULTS, Study
from snn_nas.nni.trial import read_settings, run
from snn_nas.search.result import STATUSES
from snn_nas.spaces.space import Space
from snn_nas.training_settings import SETTINGS
from tests.nni.rig import Channel

SHAPE, CLASSES = (1, 8, 8), 10
quiet = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
many, some = settings(max_examples=100, **quiet), settings(max_examples=30, **quiet)  # type: ignore[arg-type]

odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.just("10" * 40), st.just(2**80)
)
anything = st.recursive(
    odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def refused(attempt: Callable[[], Any]) -> bool:
    """Whether it was refused, and then in one line."""
    said: str | None = None
    try:
        attempt()
    except UserError as error:
        said = str(error)
    assert said is None or (said.strip() and "\n" not in said)
    return said is not None


@cache
def space(name: str) -> Space:
    return spaces.build(name, shape=SHAPE, classes=CLASSES)


space_names = st.sampled_from(sorted(spaces.spaces()))
WORDS = sorted(
    {
        *names(), *TRANSPORTS, *spaces.spaces(), *SETTINGS, "lif", "if", "plif", "alif", "readout", "conv", "sepconv",
        "linear", "none", "avg", "max", "stride", "skip", "pool", "c", "k", "T", "down", "tau", "threshold", "grid",
        "(", ")", "{", "}", "[", "]", ";", ",", "=", "@", "~", "/", ">", "0", "1", "-1", "7", "4096", "1e9", "0.0",
        "-0.5", "true", "10" * 19, "nan", "é", "\n",
    }
)  # fmt: skip


@st.composite
def near_genotypes(draw: st.DrawFn) -> str:
    """A genotype of some space with up to three of its tokens gone, doubled or replaced."""
    chosen = space(draw(space_names))
    text = str(chosen.sample(random.Random(draw(st.integers(0, 2**32)))))
    tokens = re.findall(r"\s+|[A-Za-z_]\w*|[\d.]+|.", text)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(tokens) - 1))
        tokens[at] = draw(st.sampled_from(["", tokens[at] * 2, *WORDS]))
    return "".join(tokens)


@given(near_genotypes())
@some
def test_a_genotype_is_refused_in_one_line_or_expands_checks_and_has_one_spelling(text: str) -> None:
    def whole() -> None:
        genotype = spaces.canonical(parse(text), SHAPE, CLASSES)
        assert parse(str(genotype)) == genotype
        assert spaces.canonical(genotype, SHAPE, CLASSES) == genotype
        credit = check(spaces.graph(genotype, SHAPE, CLASSES))
        assert sum(credit.shares.values()) == pytest.approx(1.0)

    refused(whole)


@given(space_names, st.integers(0, 2**32), st.data())
@some
def test_nni_parameters_are_refused_in_one_line_or_give_a_valid_genotype(
    name: str, seed: int, data: st.DataObject
) -> None:
    chosen = space(name)
    given_ = dict(chosen.encode(chosen.sample(random.Random(seed))))
    for _ in range(data.draw(st.integers(0, 3))):
        key = data.draw(st.sampled_from(sorted(given_)) if given_ else st.just("x"))
        if data.draw(st.booleans()):
            given_.pop(key, None)
        else:
            given_[data.draw(st.sampled_from([key, key + "_", "layer9_rule"]))] = data.draw(anything)

    def whole() -> None:
        check(spaces.graph(chosen.decode(given_), SHAPE, CLASSES))

    refused(whole)


@given(
    st.fixed_dictionaries(
        {}, optional={GENOTYPE: anything, SEED: anything, BARS: anything, "layers": anything, "T": anything}
    ),
    st.sampled_from(["", "{name: chain, data: digits}", "{name: chain}", "[1", "5", "{}"]),
)
@many
def test_a_trial_ends_typed_whatever_its_parameters(given_: dict[str, Any], space_text: str) -> None:
    channel = Channel(given_)
    assert run(channel, {}, space_text, "tests.contracts.toy:score").status in STATUSES
    assert len(channel.finals) == 1


REPORTED = ["default", "accuracy", "status", "reason", "seed", "epochs", "curve", "digest", "genotype"]


@given(st.one_of(anything, st.dictionaries(st.sampled_from(REPORTED), anything)), anything)
@many
def test_a_foreign_result_is_read_or_ignored(value: Any, given_: Any) -> None:
    result = result_of(value, given_ if isinstance(given_, dict) else None)
    assert result is None or result_of(final_metric(result)) == result


@given(st.dictionaries(st.sampled_from([*DEFAULTS, "sede"]), anything), st.data())
@some
def test_the_tuners_settings_are_refused_in_one_line_or_start_a_search(
    tmp_path_factory: pytest.TempPathFactory, given_: dict[str, Any], data: st.DataObject
) -> None:
    spaces_ = [{"name": "chain", "data": "digits"}, {"name": "chain", "data": "digits", "depth": [1, 2]}]
    strategies_ = [{"name": "random"}, {"name": "evolution", "population": 4}]
    for key, right in (("space", spaces_), ("strategy", strategies_)):
        chosen = data.draw(st.sampled_from([*right, None]))
        if chosen is not None:
            fields = st.sampled_from(["rules", "T", "widths", "neurons", "population", "sample", "name", "data"])
            given_[key] = {**chosen, **data.draw(st.dictionaries(fields, anything, max_size=1))}

    def whole() -> None:
        study = Study(tmp_path_factory.mktemp("study"), given_)
        study.start(1)
        text = study.ask()
        assert study.exhausted if text is None else parameters(study.space, text, study.seed)

    refused(whole)


setting_names = st.sampled_from([f.name for f in dataclasses.fields(EvaluationSettings)] + list(SETTINGS) + ["epoch"])
setting_values = st.one_of(anything, st.sampled_from(["digits", "cpu", *BACKENDS, 3, 0.5, True]))


@given(st.dictionaries(setting_names, setting_values, max_size=4))
@many
def test_a_trials_settings_are_refused_in_one_line_or_right(given_: dict[str, Any]) -> None:
    refused(lambda: EvaluationSettings.of(given_))


@given(st.lists(st.one_of(st.text(max_size=20), st.builds("{}={}".format, setting_names, odd)), max_size=4))
@many
def test_words_of_a_trials_command_are_refused_in_one_line_or_read(words: list[str]) -> None:
    refused(lambda: EvaluationSettings.of(read_settings(words)))


@given(
    st.one_of(st.sampled_from([*names(), *TRANSPORTS]), st.text(max_size=8)),
    st.none() | st.sampled_from([*TRANSPORTS, "x"]),
)
@many
def test_a_rule_is_refused_in_one_line_or_declared(name: str, transport: str | None) -> None:
    def whole() -> None:
        found = pair(name, transport)
        assert pair(*found.name.split("~")) == found
        assert found.transport in found.declaration.transports

    refused(whole)


declared: list[tuple[str, Mapping[str, Setting]]] = [
    *((f"rule {name}", pair(name).declaration.settings) for name in names()),
    *((f"population {name}", declaration(name).settings) for name in ("if", "lif", "plif", "alif")),
    *((f"encoding {name}", encoding(name).settings) for name in ("direct", "poisson", "latency")),
]


@given(st.sampled_from(declared), st.data())
@many
def test_the_settings_of_what_is_declared_are_refused_in_one_line_or_in_range(
    chosen: tuple[str, Mapping[str, Setting]], data: st.DataObject
) -> None:
    owner, known = chosen
    given_ = data.draw(st.dictionaries(st.sampled_from([*known, "tua"]), odd, max_size=3))
    found: dict[str, Any] = {}
    if not refused(lambda: found.update(resolve(given_, known, owner))):
        assert set(found) == set(known)
        for name, setting in known.items():
            assert type(found[name]) is type(setting.default)
            if isinstance(found[name], float):
                assert setting.low is None or found[name] >= setting.low
                assert setting.high is None or found[name] <= setting.high


@given(
    st.sampled_from([pair(name).declaration for name in names()]),
    st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(Declaration)]), odd, min_size=1, max_size=2),
)
@many
def test_a_declaration_is_refused_in_one_line_or_sound(good: Declaration, changes: dict[str, Any]) -> None:
    """Who adds a rule is a user too."""
    checked = {key: value for key, value in changes.items() if key in ("error", "norms", "order", "transports", "name")}
    taken = not refused(lambda: dataclasses.replace(good, **checked))
    if taken:
        assert checked.get("error", "none") in ("none", "local", "broadcast", "transported")
        assert checked.get("norms", "error") in ("error", "fixed")
        assert set(checked.get("transports", ("none",))) <= set(TRANSPORTS)


def test_what_a_declaration_gets_wrong_is_named() -> None:
    good = pair("stdp").declaration
    for wrong, message in (
        ({"error": "transport"}, "error is one of"),
        ({"transports": ("exct",)}, "transports are some of"),
        ({"transports": ()}, "transports are some of"),
        ({"implementation": "rules.stdp"}, "module:Class"),
        ({"settings": {"tau": Setting(0.5, low=1.0)}}, "the default of tau is at least 1"),
    ):
        with pytest.raises(UserError, match=message):
            dataclasses.replace(good, **wrong)
