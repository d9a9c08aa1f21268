"""Tests mirror the floors; what several folders need is in `contracts`."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
