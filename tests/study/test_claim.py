"""What a claim asks for, who competes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from neurons.errors import UserError
from rules.registry import names
from snn_nas import spaces
from snn_nas.controls import bp_twin, hidden, rule, single_rule, with_threshold
from snn_nas.credit import check
from snn_nas.genotype import parse
from snn_nas.spaces import canonical
from snn_nas.study.claim import claim, every_rule
from snn_nas.study.contestants import contestants

MIX = "chain(T=2){conv(c=8)@local/lif(threshold=0.5); conv(c=8)@frsf/lif; readout@delta~usf}"
GIVEN: dict[str, Any] = {"genotype": MIX, "rules": ["usf", "dfa", "stdp(a_minus=0.3)"], "random": 2}


def test_everyone_has_the_same_architecture_and_one_rule_on_every_layer() -> None:
    found = {each.name: each for each in contestants(claim(GIVEN))}
    assert list(found) == ["mix", "usf", "dfa", "stdp(a_minus=0.3)", "frozen", "random", "bp"]
    twins = {canonical(bp_twin(v), (1, 8, 8), 10) for each in found.values() for v in each.variants}
    assert len(twins) == 1
    for name in ("dfa", "stdp(a_minus=0.3)", "frozen"):
        (genotype,) = found[name].variants
        assert [str(gene.rule) for gene in hidden(genotype)] == [name] * 2
        assert genotype.genes[-1].transport is None
    # the rule that carries errors does so on the readout as well, and is spelled without where nothing needs it
    (usf,) = found["usf"].variants
    assert [str(gene.rule) for gene in usf.genes] == ["gradient", "usf", "delta"]
    assert usf.genes[-1].transport == "usf"
    assert len(found["random"].variants) == 2


def test_runs_of_random_take_another_assignment_and_another_seed_each() -> None:
    found = {each.name: each for each in contestants(claim({**GIVEN, "seeds": 5, "first_seed": 10}))}
    assert found["mix"].runs(claim({**GIVEN, "seeds": 5, "first_seed": 10})) == [(0, seed) for seed in range(10, 15)]
    runs = found["random"].runs(claim({**GIVEN, "seeds": 5}))
    assert runs == [(0, 0), (1, 1), (0, 2), (1, 3), (0, 4)]


def test_thresholds_are_multiplied_and_nothing_else_changes() -> None:
    changed = with_threshold(parse(MIX), 0.5)
    assert [gene.neuron.values.get("threshold") for gene in hidden(changed) if gene.neuron] == [0.25, 0.5]
    assert with_threshold(parse(MIX), 1.0) == parse(MIX)
    assert with_threshold(changed, 2.0) == with_threshold(parse(MIX), 1.0).__class__(
        changed.space, with_threshold(changed, 2.0).cells
    )
    with pytest.raises(UserError, match="threshold is at least"):
        with_threshold(parse(MIX), 1e-4)


def test_single_rules_may_have_settings() -> None:
    assert str(hidden(single_rule(parse(MIX), rule("stdp(a_minus=0.3)")))[0].rule) == "stdp(a_minus=0.3)"


def test_an_update_by_itself_names_how_it_hands_its_error_on() -> None:
    single = single_rule(parse(MIX), rule("ottt~usf"))
    assert [(str(gene.rule), gene.transport) for gene in single.genes] == [("ottt", "usf")] * 2 + [("delta", "usf")]
    drawn = contestants(claim({**GIVEN, "rules": ["ottt~usf", "stdp"], "random": 1}))[-2].variants[0]
    assert {str(gene.rule) for gene in hidden(drawn)} == {"ottt", "stdp"}


def test_by_default_a_mix_meets_every_rule_and_each_trains_a_whole_network() -> None:
    left_out = {"bp", "gradient", "frozen", "delta"}  # `gradient` has a transport's name; the readout's is no layer's
    every = every_rule()
    assert {rule(name).term.name for name in every} == {*names()} - left_out
    assert {"dfa(feedback=learned)", "dfa", "ottt~usf"} <= {*every}
    assert claim({"genotype": MIX}).rules == every
    for name in every:
        credit = check(spaces.graph(single_rule(parse(MIX), rule(name)), (1, 8, 8), 10))
        assert credit.shares["bp"] == credit.shares["frozen"] == 0.0, name


def test_another_mix_must_share_the_twin() -> None:
    other = "chain(T=2){conv(c=8)@stdp/lif(threshold=0.5); conv(c=8)@local/lif; readout@delta}"
    found = contestants(claim({**GIVEN, "others": {"local_only": other}}))
    assert [each.name for each in found][:2] == ["mix", "local_only"]
    wider = other.replace("c=8", "c=16")
    with pytest.raises(UserError, match="wide has another architecture"):
        contestants(claim({**GIVEN, "others": {"wide": wider}}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genotype": None}, "needs a genotype"),
        ({"seed": 3}, "no 'seed'; did you mean 'seeds'"),
        ({"seeds": 1}, "seeds is at least 2"),
        ({"rules": []}, "rules is a list"),
        ({"rules": ["delta"]}, "is the readout's"),
        ({"rules": ["ottt"]}, "must hand its error on: write ottt~usf"),
        ({"rules": ["usf/lif"]}, "is no rule"),
        ({"rules": ["usf; x@fa"]}, "is no rule"),
        ({"rules": ["usf~fa"]}, "names its transport already"),
        ({"rules": ["sdtp"]}, "did you mean 'stdp'"),
        ({"tuning": {"lr": []}}, "lr is a list of factors"),
        ({"tuning": {"lr": [0.0]}}, "lr is at least"),
        ({"tuning": {"rate": [1]}}, "tuning has no 'rate'"),
        ({"settings": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"settings": {"start": "a.safetensors"}}, "settings: start: .* begin anew"),
        ({"others": {"bp": MIX}}, "choose one word other"),
        ({"others": {"a b": MIX}}, "choose one word other"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        claim({**GIVEN, **changes})
    assert "\n" not in str(error.value)


def test_a_mix_of_one_rule_is_no_mix() -> None:
    with pytest.raises(UserError, match="the mix is dfa on every layer"):
        contestants(claim({**GIVEN, "genotype": MIX.replace("@local", "@dfa").replace("@frsf", "@dfa")}))
    with pytest.raises(UserError, match="the mix is bp on every layer"):
        contestants(claim({**GIVEN, "genotype": str(bp_twin(parse(MIX)))}))
