"""What a trial pays before its first batch: no compiler, and optimisers that are torch's own all the same."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from snn_nas.optimisers import _uncompiled

TRIAL = """
import sys
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.genotype import parse
genotype = parse("chain(T=2){conv(c=4,down=avg)@local/lif(threshold=0.5); readout@delta}")
evaluate(genotype, EvaluationSettings.of({"data": "digits", "train": 64, "validation": 50, "epochs": 1}), 0)
print(*(name for name in ("torch._dynamo", "sympy", "scipy", "sklearn", "spikingjelly", "torchvision", "nni")
        if name in sys.modules))
"""


def test_a_trial_imports_no_compiler_and_no_other_library() -> None:
    done = subprocess.run([sys.executable, "-c", TRIAL], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("kind", "given"),
    [(torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}), (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9})],
)
def test_its_optimisers_are_torchs_bit_for_bit(kind: type[torch.optim.Optimizer], given: dict[str, Any]) -> None:
    made = []
    for optimiser in (kind, _uncompiled(kind)):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(5, 4))
        stepping = optimiser([weight], **given)
        for _ in range(4):
            (weight.square() * torch.randn(5, 4)).sum().backward()
            stepping.step()
            stepping.zero_grad()
            assert weight.requires_grad
        made.append(weight.detach())
    assert torch.equal(*made)
    assert isinstance(stepping, kind)
