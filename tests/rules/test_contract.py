"""Every registered rule with every transport that it may have, against the contract."""

from __future__ import annotations

import pytest

from rules.registry import Pair, rules
from tests.contracts.rule import LearningRuleContract

PAIRS = [Pair(declaration, transport) for declaration in rules().values() for transport in declaration.transports]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)
class TestEveryRule(LearningRuleContract):
    pass
