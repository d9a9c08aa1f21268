"""No learning: the control that other rules are held against."""

from __future__ import annotations

from rules.rule import Rule


class Frozen(Rule):
    """The weights stay as they were drawn. With a transport, errors still pass through to the layers below."""
