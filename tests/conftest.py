"""Tests run side by side, so each gets one thread: two that spin for the same core wait for each other."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
