"""Runs `cases.py` in a process of its own: torch learns of a new device only before its first backward pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_all_cases_pass_on_a_device_of_their_own() -> None:
    """To run one of them by hand: `pytest tests/elsewhere/cases.py -k NAME`."""
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-x", "--tb=short"]
    done = subprocess.run(
        [*command, str(Path(__file__).with_name("cases.py"))], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
