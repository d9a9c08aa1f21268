from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import REPOSITORY


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for experiments, and a home of its own for NNI's list of them."""
    folder = tmp_path_factory.mktemp("nni")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
        patch.delenv("NODE_OPTIONS", raising=False)
        (folder / "home").mkdir()
        yield folder
