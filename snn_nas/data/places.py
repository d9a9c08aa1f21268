"""Where data is looked for and where decoded copies are kept."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from neurons.errors import UserError
from snn_nas.data.registry import Entry

ROOT_VARIABLE = "SNN_NAS_DATA"


def cache_dir() -> Path:
    """The user's cache folder for decoded data: `$XDG_CACHE_HOME/snn-nas`, by default `~/.cache/snn-nas`."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "snn-nas"


def data_root(root: Path | str | None = None) -> Path:
    """The folder that holds the data sets: the one given, else `$SNN_NAS_DATA`, else `data` in the user's cache."""
    given = root or os.environ.get(ROOT_VARIABLE)
    return Path(given).expanduser() if given else cache_dir() / "data"


def missing(entry: Entry, looked_in: Iterable[Path]) -> UserError:
    """The one line that says which folder was looked in, what belongs there, and how else to get it."""
    folders = " or ".join(str(folder) for folder in looked_in)
    fetched = f"""; or fetch it: python -c "from snn_nas import data; data.load('{entry.name}', download=True)\""""
    return UserError(
        f"{entry.title} is not there: looked in {folders}. Put {entry.layout} under the data folder"
        f" (set {ROOT_VARIABLE} to choose it){fetched if entry.download else ''}"
    )
