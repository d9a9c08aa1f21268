"""Data sets: `describe` a name without torch, `load` it into training, validation and a sealed test split.

Names are resolved on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snn_nas.data.registry import Augmentation, Entry, Normalisation, describe, names

if TYPE_CHECKING:
    from snn_nas.data.dataset import Dataset, Normalise, load
    from snn_nas.data.splits import Opening, SealedError, SealedSplit, Split

__all__ = [
    "Augmentation",
    "Dataset",
    "Entry",
    "Normalisation",
    "Normalise",
    "Opening",
    "SealedError",
    "SealedSplit",
    "Split",
    "describe",
    "load",
    "names",
]

_LATER = {
    "Dataset": "dataset",
    "Normalise": "dataset",
    "load": "dataset",
    "Opening": "splits",
    "SealedError": "splits",
    "SealedSplit": "splits",
    "Split": "splits",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
