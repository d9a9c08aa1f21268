"""The chain space: the contract, its spelling, and its messages."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas import spaces
from snn_nas.genotype import parse
from snn_nas.spaces.chain import Chain
from tests.contracts.space import SpaceContract


class TestChain(SpaceContract):
    def tiny(self) -> Chain:
        return Chain(
            (1, 4, 4), 10, depth=(1, 2), ops=("conv", "sepconv"), widths=(4,), kernels=(3,), downs=("none", "avg"),
            skips=(0, 1), rules=("usf", "local"),
        )  # fmt: skip

    def large(self) -> Chain:
        return Chain((3, 32, 32), 10)


class TestChainWithNeuronsAndEncodings(SpaceContract):
    def tiny(self) -> Chain:
        return Chain(
            (1, 6, 6), 10, depth=(1, 2), ops=("conv",), widths=(4,), kernels=(3,), downs=("stride",),
            skips=(0,), rules=("frsf", "fa", "frozen"), neurons=("lif", "if"), T=(2, 4),
            encodings=("direct", "poisson"),
        )  # fmt: skip

    def large(self) -> Chain:
        return Chain((1, 28, 28), 10, depth=(2, 5), neurons=("lif", "plif(tau=3.0)"), T=(2, 4, 8), readouts=("usf",))


class TestChainWhereChoicesCoincide(SpaceContract):
    """`frozen` neurons have no use for a surrogate's settings, and one time step none for a reset."""

    def tiny(self) -> Chain:
        return Chain(
            (1, 4, 4), 10, depth=(1, 2), ops=("conv",), widths=(4,), kernels=(3,), downs=("none",), skips=(0,),
            rules=("usf", "frozen"), neurons=("lif", "lif(sharpness=2.0)", "lif(reset=hard)"), T=(1, 2),
        )  # fmt: skip

    def large(self) -> Chain:
        return Chain((1, 28, 28), 10, neurons=("lif", "lif(surrogate=sigmoid)", "if(reset=hard)"), T=(1, 4))


class TestChainWithHeadsOfSeveralSettings(SpaceContract):
    """Two pools of one rule are two rules on maps that are large enough; a pool and a share are two in any case."""

    def tiny(self) -> Chain:
        return Chain(
            (1, 6, 6), 10, depth=(1, 2), ops=("conv",), widths=(3, 4), kernels=(3,), downs=("none",), skips=(0,),
            rules=("predsim(pool=4)", "predsim(pool=3)", "predsim(similarity=0.5)", "local"),
        )  # fmt: skip

    def large(self) -> Chain:
        return Chain((1, 28, 28), 10, rules=("predsim", "predsim(similarity=0.5)", "local"))


SPACE = Chain((1, 8, 8), 10)
PAIRS = [
    (
        "chain{conv(c=8,k=3)@frsf/lif; readout@delta~usf}",
        "chain(T=4){conv(c=8)@gradient/lif;readout(grid=4)@delta~usf}",
    ),
    ("chain{conv(c=8)@frsf/lif; readout@delta~usf}", "chain{conv(c=8)@fa/lif;readout@delta~usf}"),
    ("chain{conv(c=8)@stdp/lif; readout@delta~usf}", "chain{conv(c=8)@stdp/lif;readout@delta}"),
    (
        "chain{conv(c=8)@stdp/lif(tau=2.0); readout@delta}",
        "chain{conv(c=8,down=none,skip=0)@stdp(tau=2.0)/lif;readout@delta}",
    ),
    (
        "chain(encoding=direct){conv(c=8)@local/lif; readout@delta}",
        "chain{conv(c=8)@local(pool=8)/lif(reset=soft);readout@delta}",
    ),
    ("chain{conv(c=8)@frozen~frsf/lif;readout@delta}", "chain{conv(c=8)@frozen/lif;readout@delta}"),
]


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_spellings_of_a_network_are_one_genotype(one: str, other: str) -> None:
    assert SPACE.canonical(parse(one)) == SPACE.canonical(parse(other))


@pytest.mark.parametrize("text", [text for pair in PAIRS for text in pair])
def test_the_canonical_form_is_its_own(text: str) -> None:
    once = SPACE.canonical(parse(text))
    assert SPACE.canonical(once) == once
    assert SPACE.canonical(parse(str(once))) == once


def test_two_networks_are_two_genotypes() -> None:
    texts = [
        "chain{conv(c=8)@frsf/lif; conv(c=8)@frsf/lif; readout@delta~usf}",
        "chain{conv(c=8)@frsf/lif; conv(c=8)@fa/lif; readout@delta~usf}",
        "chain{conv(c=8)@frsf/lif; conv(c=8)@fa/lif; readout@delta~exact}",
        "chain{conv(c=8)@stdp/lif; conv(c=8)@fa/lif; readout@delta~exact}",
        "chain{conv(c=8)@stdp(tau=3.0)/lif; conv(c=8)@fa/lif; readout@delta~exact}",
    ]
    assert len({SPACE.canonical(parse(text)) for text in texts}) == len(texts)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_chain_of_mutations_stays_valid(rng: random.Random) -> None:
    genotype = SPACE.sample(rng)
    for _ in range(4):
        genotype = SPACE.mutate(genotype, rng)
    assert SPACE.contains(genotype)
    assert parse(str(genotype)) == genotype
    assert SPACE.decode(SPACE.encode(genotype)) == genotype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chain{conv(c=8)@frs/lif;readout@delta}", "unknown rule 'frs'; did you mean"),
        ("chain{conv(c=8)/lif;readout@delta}", "layer1 has no rule"),
        ("chain{conv(c=8)@stdp;readout@delta}", "layer1 has no neurons"),
        ("chain{conv(c=0)@stdp/lif;readout@delta}", "layer1: conv: c is at least 1"),
        ("chain{conv(k=4)@stdp/lif;readout@delta}", "layer1: a kernel is odd"),
        ("chain{cnv@stdp/lif;readout@delta}", "layer1: unknown operation 'cnv'; did you mean 'conv'"),
        ("chain{conv@stdp(taw=1.0)/lif;readout@delta}", "no setting 'taw'"),
        ("chain{conv@stdp/lif(tau=0.1);readout@delta}", "tau is at least"),
        ("chain{conv@delta/lif;readout@delta}", "only for the readout"),
        ("chain{conv@stdp/lif;readout@stdp}", "not for the readout"),
        ("chain{conv@stdp/lif;readout@delta/lif}", "readout has no neurons"),
        ("chain{conv@stdp/lif}", "ends in its one readout"),
        ("chain{conv(skip=1)@stdp/lif;readout@delta}", "no input spikes to skip with"),
        ("chain{conv(c=4)@stdp/lif;conv(c=8,skip=1)@stdp/lif;readout@delta}", "layer2: a skip needs equal shapes"),
        ("chain{linear@stdp/lif;conv@stdp/lif;readout@delta}", "layer2: no convolution can follow"),
        ("chain(T=0){conv@stdp/lif;readout@delta}", "T is at least 1"),
        ("chain(encoding=dirct){conv@stdp/lif;readout@delta}", "no encoding 'dirct'; did you mean 'direct'"),
        ("chain{conv@stdp~usf/lif;readout@delta}", "cannot transport an error by 'usf'"),
        ("chain{conv@frsf~usf/lif;readout@delta}", "names its transport already"),
        ("chain{" + "conv(down=avg)@stdp/lif;" * 4 + "readout@delta}", "layer4: .*too small.*leave out its down=avg"),
        ("chain{conv@frsf/lif;conv@stdp/lif;readout@delta~usf}", "layer1 .*gets no error"),
    ],
)
def test_a_wrong_chain_is_one_clear_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        SPACE.canonical(parse(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"widht": [3]}, "no choice 'widht'; did you mean 'widths'"),
        ({"rules": ["nonsense"]}, "unknown rule 'nonsense'"),
        ({"rules": ["delta"]}, "is the readout's"),
        ({"rules": []}, "at least one choice"),
        ({"kernels": [4]}, "odd"),
        ({"depth": [0]}, "depth is at least 1"),
        ({"T": [0]}, "T is at least 1"),
        ({"neurons": ["lfi"]}, "did you mean 'lif'"),
    ],
)
def test_a_wrong_configuration_is_found_before_the_search(choices: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        spaces.build("chain", shape=(1, 8, 8), classes=10, choices=choices)


@pytest.mark.parametrize("spelled", ["lif(tau=2.0)", "lif(tau=3)", "lif(threshold=0.5,reset=hard)"])
def test_choices_may_be_spelled_in_any_way(spelled: str) -> None:
    space = spaces.build(
        "chain", shape=(1, 8, 8), classes=10, choices={"neurons": [spelled, "lif"], "rules": ["local(pool=8)"]}
    )
    plain = spaces.build("chain", shape=(1, 8, 8), classes=10, choices={"neurons": ["lif"], "rules": ["local"]})
    if spelled == "lif(tau=2.0)":
        assert space.size() == plain.size()
    genotype = space.sample(random.Random(0))
    assert space.contains(genotype)
    assert space.decode(space.encode(genotype)) == genotype


def test_a_choice_is_one_name_with_settings() -> None:
    with pytest.raises(UserError, match="no single name"):
        spaces.build("chain", shape=(1, 8, 8), classes=10, choices={"neurons": ["lif x"]})
