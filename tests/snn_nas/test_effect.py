"""Settings without effect: a canonical network has none, and computes and learns what the other spelling did."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from snn_nas import data, network
from snn_nas.data import Dataset
from snn_nas.genotype import Genotype, parse
from snn_nas.spaces import canonical, effect
from snn_nas.training import Training, predict, train


@cache
def digits() -> Dataset:
    return data.load("digits", train=48, validation=24)


def learned(genotype: Genotype) -> tuple[dict[str, Tensor], Tensor]:
    """Weights after a few batches, and what the network then says."""
    torch.manual_seed(0)
    built = network.build(genotype, (1, 8, 8), 10)
    train(built, digits(), Training(epochs=1, batch_size=16), seed=1)
    return built.state_dict(), predict(built, digits().validation)


def assert_same(text: str) -> Genotype:
    """The canonical spelling, after it was seen to compute and learn the same, bit for bit."""
    spelled = canonical(parse(text), (1, 8, 8), 10)
    (weights, said), (others, also) = learned(parse(text)), learned(spelled)
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert torch.equal(said, also)
    return spelled


SAME = [
    (
        "chain(T=2){conv(c=4)@frozen/lif(surrogate=sigmoid,sharpness=3.0,detach_reset=false); readout@delta}",
        "chain(T=2){conv(c=4)@frozen/lif; readout@delta}",
    ),
    (
        "chain(T=2){conv(c=4)@stdp/lif(surrogate=triangle,threshold=0.5); readout@delta}",
        "chain(T=2){conv(c=4)@stdp/lif(threshold=0.5); readout@delta}",
    ),
    (
        "chain(T=2){conv(c=4)@frozen~frsf/lif(surrogate=sigmoid); readout@delta~usf}",
        "chain(T=2){conv(c=4)@frozen/lif; readout@delta}",
    ),
    (
        "chain(T=1){conv(c=4)@usf/lif(reset=hard,detach_reset=false); readout@delta~usf}",
        "chain(T=1){conv(c=4)@usf/lif; readout@delta~usf}",
    ),
    (
        "chain(T=1){conv(c=4)@dfa/alif(beta=0.5,tau_adapt=3.0,tau=7.0,decay_input=false); readout@delta}",
        "chain(T=1){conv(c=4)@dfa/alif(decay_input=false); readout@delta}",
    ),
    (
        "chain(T=2){conv(c=4,down=avg)@local/lif; conv(c=4)@local(pool=9)/lif; readout(grid=9)@delta}",
        "chain(T=2){conv(c=4,down=avg)@local/lif; conv(c=4)@local/lif; readout(grid=4)@delta}",
    ),
    (
        "chain(T=2){conv(c=4)@local(pool=12)/lif; readout(grid=64)@delta}",
        "chain(T=2){conv(c=4)@local/lif; readout(grid=8)@delta}",
    ),
    (
        "chain(T=2){conv(c=4)@local/lif; readout(grid=3)@delta}",
        "chain(T=2){conv(c=4)@local/lif; readout(grid=3)@delta}",
    ),
    (
        "chain(T=2){conv(c=4)@local/lif; readout(grid=7)@delta}",
        "chain(T=2){conv(c=4)@local/lif; readout(grid=4)@delta}",
    ),
    (
        "chain(T=2){linear(c=9)@local(pool=2)/lif; readout(grid=5)@delta}",
        "chain(T=2){linear(c=9)@local/lif; readout(grid=1)@delta}",
    ),
    (
        "chain(T=2){conv(c=4)@stdp(decorrelate=-0.0,conscience=-0.0)/lif; readout@delta}",
        "chain(T=2){conv(c=4)@stdp(decorrelate=0.0,conscience=0.0)/lif; readout@delta}",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_has_no_effect_is_left_out(one: str, other: str) -> None:
    found = assert_same(one)
    assert found == canonical(parse(other), (1, 8, 8), 10)
    assert found.digest == canonical(parse(other), (1, 8, 8), 10).digest


DIFFERENT = [
    ("chain(T=1){conv(c=4)@usf/lif(tau=3.0); readout@delta~usf}", "chain(T=1){conv(c=4)@usf/lif; readout@delta~usf}"),
    ("chain(T=4){conv(c=4)@frozen/lif(reset=hard); readout@delta}", "chain(T=4){conv(c=4)@frozen/lif; readout@delta}"),
    ("chain(T=2){conv(c=4)@dfa/lif(sharpness=2.0); readout@delta}", "chain(T=2){conv(c=4)@dfa/lif; readout@delta}"),
    ("chain(T=2){conv(c=4)@local(pool=3)/lif; readout@delta}", "chain(T=2){conv(c=4)@local/lif; readout@delta}"),
    ("chain(T=2){conv(c=4)@frozen/lif; readout(grid=2)@delta}", "chain(T=2){conv(c=4)@frozen/lif; readout@delta}"),
    (
        "chain(T=2){conv(c=4)@usf/lif; conv(c=4)@frozen~frsf/lif(sharpness=2.0); readout@delta~usf}",
        "chain(T=2){conv(c=4)@usf/lif; conv(c=4)@frozen~frsf/lif; readout@delta~usf}",
    ),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_has_an_effect_stays(one: str, other: str) -> None:
    assert canonical(parse(one), (1, 8, 8), 10) != canonical(parse(other), (1, 8, 8), 10)
    weights, others = learned(parse(one))[0], learned(parse(other))[0]
    assert (
        weights.keys() != others.keys()
        or any(
            weights[name].shape != others[name].shape or not torch.equal(weights[name], others[name])
            for name in weights
        )
        or not torch.equal(learned(parse(one))[1], learned(parse(other))[1])
    )


NEURONS = st.builds(
    "{}(surrogate={},sharpness={},detach_reset={},reset={},threshold={})".format,
    st.sampled_from(["lif", "if"]),
    st.sampled_from(["atan", "sigmoid"]),
    st.sampled_from(["1.0", "2.0"]),
    st.sampled_from(["true", "false"]),
    st.sampled_from(["soft", "hard"]),
    st.sampled_from(["0.5", "1.0"]),
)
RULES = st.sampled_from(
    ["frozen", "stdp", "softhebb", "local(pool=4)", "local(pool=3)", "predsim(pool=4)", "dfa", "usf", "frozen~fa"]
)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([1, 2]), st.lists(st.tuples(RULES, NEURONS), min_size=1, max_size=2), st.integers(1, 12))
def test_a_canonical_network_computes_the_same(T: int, layers: list[tuple[str, str]], grid: int) -> None:
    """Whatever the settings; a layer that could get no error gets one from `frozen~fa` above it, or is frozen."""
    genes = [f"conv(c=4,down=avg)@{rule}/{neuron}" for rule, neuron in layers]
    if len(genes) == 2 and "@usf" in genes[0] and not ("@usf" in genes[1] or "~fa" in genes[1]):
        genes[0] = genes[0].replace("@usf", "@frozen")
    found = assert_same(f"chain(T={T}) {{ {'; '.join(genes)}; readout(grid={grid})@delta~usf }}")
    assert canonical(found, (1, 8, 8), 10) == found


@pytest.mark.parametrize("sides", [(8, 8), (7, 5), (1, 9), ()])
def test_the_smallest_grid_with_the_same_windows(sides: tuple[int, ...]) -> None:
    for asked in range(1, 12):
        found = effect.grid(sides, asked)
        assert effect.window(sides, found) == effect.window(sides, asked)
        assert found == 1 or effect.window(sides, found - 1) != effect.window(sides, found)
