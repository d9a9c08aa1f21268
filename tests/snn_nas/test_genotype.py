"""The genotype's text: what is printed is read back, what is not one is refused with its place."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snn_nas.genotype import MAX_TEXT, Cell, Gene, Genotype, GenotypeError, Term, parse

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

names = st.text(string.ascii_letters + "_", min_size=1, max_size=8).filter(lambda word: word not in ("true", "false"))
values = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names
terms = st.builds(lambda name, settings: Term.of(name, **settings), names, st.dictionaries(names, values, max_size=3))
edges = st.none() | st.tuples(st.integers(0, 20), st.integers(0, 20))


@st.composite
def genes(draw: st.DrawFn) -> Gene:
    rule = draw(st.none() | terms)
    transport = draw(st.none() | names) if rule is not None else None
    return Gene(draw(terms), rule, transport, draw(st.none() | terms), draw(edges))


cells = st.builds(Cell, st.lists(genes(), min_size=1, max_size=4).map(tuple), st.just("") | names)
genotypes = st.builds(Genotype, terms, st.lists(cells, min_size=1, max_size=3).map(tuple))


@few
@given(genotypes)
def test_what_is_printed_is_read_back(genotype: Genotype) -> None:
    assert parse(str(genotype)) == genotype
    assert hash(parse(str(genotype))) == hash(genotype)


@few
@given(genotypes)
def test_the_types_of_values_survive(genotype: Genotype) -> None:
    for before, after in zip(genotype.genes, parse(str(genotype)).genes, strict=True):
        assert [type(v) for _, v in before.op.settings] == [type(v) for _, v in after.op.settings]


@few
@given(genotypes)
def test_blanks_are_free(genotype: Genotype) -> None:
    spaced = re.sub(r"([(){}\[\];,=@~/>])", r" \1\n", str(genotype))
    assert parse(spaced) == genotype


@few
@given(genotypes, genotypes)
def test_equal_genotypes_and_only_those_have_one_digest(one: Genotype, other: Genotype) -> None:
    assert (one.digest == other.digest) == (str(one) == str(other))


@few
@given(st.text(max_size=60).filter(lambda text: "{" not in text))
def test_a_text_without_a_cell_is_refused_within_itself(text: str) -> None:
    with pytest.raises(GenotypeError) as caught:
        parse(text)
    assert 0 <= caught.value.position <= len(text)


@few
@given(genotypes, st.data())
def test_a_text_cut_within_its_last_cell_is_refused(genotype: Genotype, data: st.DataObject) -> None:
    text = str(genotype)
    with pytest.raises(GenotypeError):
        parse(text[: data.draw(st.integers(text.rindex("{") + 1, text.rindex("}")))])


def test_the_order_of_settings_is_nothing() -> None:
    assert parse("chain(b=1,a=2){x}") == parse("chain(a=2,b=1){x}")
    assert str(parse("chain(b=1,a=2){x}")) == "chain(a=2,b=1) { x }"


def test_the_digest_never_changes() -> None:
    text = "chain(T=4) { conv(c=32,down=avg,k=3)@frsf/lif; readout(grid=4)@delta~usf }"
    assert str(parse(text)) == text
    assert parse(text.replace(" ", "")).digest == parse(text).digest == "941e782adec6a12e"


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 0, "the name of a space"),
        ("chain", 5, "'{'"),
        ("chain{}", 6, "an operation"),
        ("chain{a@}", 8, "a rule"),
        ("chain{a@b~}", 10, "a transport"),
        ("chain{a/}", 8, "a neuron"),
        ("chain{a[0>x]}", 10, "an integer"),
        ("chain{a(b)}", 9, "'='"),
        ("chain{a(b=)}", 10, "a value"),
        ("chain{a;}", 8, "an operation"),
        ("chain{a} }", 9, "'{'"),
        ("chain{a#}", 7, "no meaning"),
        ("chain(a=1,a=2){x}", 10, "set twice"),
    ],
)
def test_a_slip_is_shown_where_it_is(text: str, position: int, expected: str) -> None:
    with pytest.raises(GenotypeError, match=f"at character {position + 1}: .*{re.escape(expected)}") as caught:
        parse(text)
    assert caught.value.position == position


def test_a_huge_text_is_not_read() -> None:
    with pytest.raises(GenotypeError, match="longer than"):
        parse("a" * (MAX_TEXT + 1))
