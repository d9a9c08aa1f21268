"""Every registered rule with every transport that it may have, against the contract."""

from __future__ import annotations

import pytest

from rules.registry import Pair, rules
from rules.registry import pair as resolve
from tests.contracts.bench import Bench
from tests.contracts.rule import LearningRuleContract

PAIRS = [Pair(declaration, transport) for declaration in rules().values() for transport in declaration.transports]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
class TestEveryRule(LearningRuleContract):
    pass


@pytest.mark.parametrize("pair", [resolve("dfa"), resolve("eprop")], ids=lambda pair: pair.name)
class TestSharedFeedback(LearningRuleContract):
    def bench(self, pair: Pair, kind: str = "dense", T: int = 4, **options: object) -> Bench:
        return super().bench(pair, kind, T, **{"settings": {"feedback": "shared"}, **options})


@pytest.mark.parametrize("pair", [resolve("dfa"), resolve("eprop")], ids=lambda pair: pair.name)
class TestTheOtherFeedback(LearningRuleContract):
    """`dfa` whose feedback learns, `eprop` whose feedback stays as drawn."""

    def bench(self, pair: Pair, kind: str = "dense", T: int = 4, **options: object) -> Bench:
        other = {"dfa": "learned", "eprop": "random"}[pair.name]
        return super().bench(pair, kind, T, **{"settings": {"feedback": other}, **options})
