from __future__ import annotations

import subprocess
import sys

import pytest

from neurons.errors import UserError
from snn_nas.data import describe, names
from snn_nas.data.registry import ENTRIES


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UserError, match="no data set 'cifar-10'; did you mean 'cifar10'"):
        describe("cifar-10")


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_complete_and_consistent(name: str) -> None:
    entry = describe(name)
    assert entry.name == name
    assert name in names()
    assert entry.summary
    assert entry.licence
    assert len(entry.class_names) in (0, entry.classes)
    assert entry.normalisation is not None
    assert len(entry.normalisation.mean) == len(entry.normalisation.std) == entry.shape[0]
    assert "\n" not in entry.title + entry.summary + entry.licence + entry.layout


def test_the_lossy_copy_of_cifar10_says_so() -> None:
    assert describe("cifar10_jpeg").title == "CIFAR-10 (JPEG-75)"
    assert describe("cifar10").title == "CIFAR-10"


def test_describing_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, snn_nas.data as d; d.describe('digits'); print('torch' in sys.modules, 'numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
