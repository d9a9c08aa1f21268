"""A file or folder that a user names on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class NamedPath(click.Path):
    """A path that was named: empty text, as an unset shell variable leaves it, would mean the working directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType.convert`."""
        if value == "":
            self.fail("it is empty: name a file or folder, '.' for this one", param, ctx)
        return super().convert(value, param, ctx)


PATH = NamedPath()
