"""The tutorial, followed to the letter in a copy of the packages, as a newcomer would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import REPOSITORY


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository with the tutorial's three pieces of code where it says that they go."""
    folder = tmp_path_factory.mktemp("newcomer")
    for package in ("neurons", "rules", "snn_nas", "tests"):
        shutil.copytree(REPOSITORY / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    text = (REPOSITORY / "docs" / "new_rule.md").read_text()
    rule, declaration, proof = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(rule.splitlines()) < 40, "a rule costs less than 40 lines"
    (folder / "rules" / "oja.py").write_text(rule)
    with (folder / "rules" / "registry.py").open("a") as registry:
        registry.write(declaration)
    (folder / "tests" / "rules" / "test_oja.py").write_text(proof)
    return folder


def run(folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_proof_and_the_contract_pass(copy: Path) -> None:
    said = run(
        copy, "-m", "pytest", "-p", "no:cacheprovider", "-k", "oja",
        "tests/rules/test_oja.py", "tests/rules/test_contract.py", "-o", "addopts=",
    )  # fmt: skip
    assert int(re.search(r"(\d+) passed", said)[1]) > 40  # type: ignore[index]


def test_it_is_listed_trained_and_costed(copy: Path) -> None:
    assert "oja" in run(copy, "-m", "snn_nas", "rules", "--format", "json")
    genotype = "chain(T=2){conv(c=8,down=avg)@oja/lif; readout@delta}"
    said = run(copy, "-m", "snn_nas", "train", genotype, "--data", "digits", "--out", "model", "--epochs", "5")
    assert float(re.search(r"(\d+\.\d+)\s?%", said)[1]) > 50  # type: ignore[index]
    costed = run(copy, "-m", "snn_nas", "energy", "model/weights.safetensors", "--format", "json")
    assert '"layer1"' in costed
