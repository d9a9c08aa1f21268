"""How all tests run: with one thread each, and with nothing skipped in CI but for want of a GPU."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

# Tests run side by side: two that spin for the same core wait for each other. Processes that they start inherit it.
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """CI installs all that tests need, so there a test that finds something missing has failed."""
    report = yield
    if report.skipped and "CI" in os.environ and not hasattr(report, "wasxfail") and "GPU" not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not be skipped in CI: {call.excinfo and call.excinfo.value}"
    return report
