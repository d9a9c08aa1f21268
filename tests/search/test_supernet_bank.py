"""Shared weights: who shares what, and how a network on them is scored."""

from __future__ import annotations

import torch
from torch import Tensor

from snn_nas.genotype import Genotype, parse
from snn_nas.spaces import graph
from snn_nas.supernet.bank import Bank, Key
from snn_nas.training_settings import Training
from tests.search.supernet_data import CLASSES, SHAPE, batch, dataset

LAYER = "conv(c=3,k={k})@{rule}/lif"


def two(first: str = "usf", second: str = "usf", k: int = 3) -> Genotype:
    one = LAYER.format(k=3, rule="gradient" if first == "usf" else first)
    other = LAYER.format(k=k, rule=second)
    return parse(f"chain(T=2){{ {one}; {other}; readout(grid=2)@delta~usf }}")


def bank() -> Bank:
    torch.manual_seed(0)
    return Bank(dataset(), Training(batch_size=12, lr=5.0), steps=200)


def weight(bank: Bank, genotype: Genotype, name: str) -> Tensor:
    return bank.network(genotype).layers[name].synapse.weight.detach().clone()  # type: ignore[union-attr]


def test_what_is_equal_is_shared_and_a_rule_makes_the_difference() -> None:
    shared = bank()
    one, other, wide = (shared.network(g) for g in (two(), two(second="fa"), two(k=5)))
    assert one.layers["layer1"] is other.layers["layer1"] is wide.layers["layer1"]
    assert one.layers["readout"] is other.layers["readout"]
    assert len({id(network.layers["layer2"]) for network in (one, other, wide)}) == 3


def test_every_part_of_a_key_counts() -> None:
    keys = {
        Key.of(graph(parse(text), SHAPE, CLASSES)["layer2"], T)
        for text, T in (
            (f"chain(T=2){{ {LAYER.format(k=3, rule='usf')}; {layer}; readout@delta~usf }}", T)
            for layer, T in (
                ("conv(c=3,k=3)@usf/lif", 2), ("conv(c=3,k=3)@usf/lif", 4), ("conv(c=3,k=3)@frsf/lif", 2),
                ("conv(c=3,k=3)@local/lif", 2), ("conv(c=3,k=3)@local(pool=2)/lif", 2),
                ("conv(c=4,k=3)@usf/lif", 2),
                ("conv(c=3,k=5)@usf/lif", 2), ("conv(c=3,k=3)@usf/lif(tau=3.0)", 2),
                ("conv(c=3,k=3,skip=1)@usf/lif", 2),
            )
        )
    }  # fmt: skip
    assert len(keys) == 9


def test_learning_through_one_network_moves_what_it_shares_and_nothing_else() -> None:
    shared, images = bank(), batch()
    one, other = two(), two(second="fa")
    before = {(g, name): weight(shared, g, name) for g in (one, other) for name in ("layer1", "layer2", "readout")}
    for _ in range(3):
        shared.learn(one, *images)
    moved = {at for at, old in before.items() if not torch.equal(old, weight(shared, *at))}
    assert moved == set(before) - {(other, "layer2")}


def test_rules_without_an_error_learn_beside_the_others_and_frozen_ones_do_not() -> None:
    shared, images = bank(), batch()
    for rule, moves in (("stdp", True), ("softhebb", True), ("hippo", True), ("local", True), ("frozen", False)):
        genotype = two(first=rule)
        before = weight(shared, genotype, "layer1")
        for _ in range(2):
            loss = shared.learn(genotype, *images)
        assert loss > 0
        assert torch.equal(before, weight(shared, genotype, "layer1")) != moves, rule


def test_a_score_changes_nothing_and_comes_back_the_same() -> None:
    shared, images = bank(), batch()
    shared.learn(two(), *images)
    network = shared.network(two())
    before = {key: value.clone() for key, value in network.state_dict().items() if "num_batches" not in key}
    scores = [shared.score(two(), *images) for _ in range(2)]
    assert scores[0] == scores[1]
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())


def test_shared_weights_learn() -> None:
    shared, (images, labels) = bank(), batch()
    genotypes = [two(), two(second="fa"), two(first="frozen")]
    before = [shared.score(g, images, labels).loss for g in genotypes]
    for step in range(60):
        shared.learn(genotypes[step % 3], images, labels)
    after = [shared.score(g, images, labels) for g in genotypes]
    assert all(score.loss < 0.9 * old and score.accuracy > 0.7 for score, old in zip(after, before, strict=True))
