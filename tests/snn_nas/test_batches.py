"""The batches that a network learns from: none too small, and as many as are counted."""

from __future__ import annotations

import pytest
import torch

from rules import across
from snn_nas.batches import batches, least, per_pass
from snn_nas.data import Split


@pytest.mark.parametrize("processes", [1, 3])
def test_as_many_batches_as_are_counted(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(across, "processes", lambda: processes)
    for images in range(1, 20):
        split = Split(torch.zeros(images, 1, 2, 2, dtype=torch.uint8), torch.zeros(images, dtype=torch.long))
        found = [len(labels) for _, labels in batches(split, 6, torch.Generator(), "cpu")]
        assert len(found) == per_pass(split, 6)
        assert min(found, default=least()) >= max(2, processes)
        assert images - sum(found) < max(2, processes)
