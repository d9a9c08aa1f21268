"""Who may inherit whose weights: decided by the order of the search alone, so that it is the same whenever it is asked.

A child starts from its parent's weights wherever a layer is unchanged (`snn_nas/inheritance.py`). Its metrics are then
a function of genotype, seed *and parent*; so the parent's digest stands among the trial's parameters and in its result,
and the search stays reproducible as long as the same parents are there: not "those whose files happen to be left", but
the last `keep` networks whose results the proposal was drawn from. A file is deleted only when no trial that is out can
ask for it any more, so at most `keep` and twice the lag are kept. What a kill left behind goes too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from neurons.settings import Setting, resolve
from snn_nas.search.ordered import Ordered

SETTINGS: Mapping[str, Setting] = {
    "keep": Setting(64, low=1, help="how many of the last networks that were told can still be parents"),
}
SUFFIX = ".safetensors"


class Heritage:
    """The weights of a search's trials, in a folder, a file for each network."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def parent(self, ordered: Ordered, digest: str) -> str:
        """The digest of the network whose weights a proposal starts from; "" where it starts afresh."""
        parent = ordered.strategy.parents.get(digest, "")
        told = max(0, ordered.order.index(digest) + 1 - ordered.lag)
        return parent if parent in ordered.order[max(0, told - self.keep) : told] else ""

    def prune(self, ordered: Ordered) -> None:
        """Delete what no trial can ask for any more."""
        wanted = set(ordered.order[max(0, ordered.told - ordered.lag - self.keep) :])
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            if path.name.partition(".")[0] not in wanted:
                path.unlink(missing_ok=True)


def file_of(folder: str | Path, digest: str) -> Path:
    """Where the weights of a network lie."""
    return Path(folder) / f"{digest}{SUFFIX}"


def heritage(given: Any, folder: Path) -> Heritage | None:
    """From a tuner's `inherit`: false, true, or `{keep: 64}`.

    Raises:
        UserError: it is none of these, or a setting is unknown or out of range.
    """
    if given in (None, False):
        return None
    if given is not True and not isinstance(given, Mapping):
        raise UserError(f"inherit is true, false, or {{keep: 64}}, not {given!r}")
    settings = resolve({} if given is True else given, SETTINGS, "inherit")
    return Heritage(folder, int(settings["keep"]))
