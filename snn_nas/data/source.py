"""The files of one split as they lie on disk, and how they decode: what every reader hands to the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurons.errors import UserError

Part = Literal["train", "test"]


class NoTestDataError(UserError):
    """The data set came without test images: training can go on, opening the test split cannot."""


class Arrays(NamedTuple):
    """`images` uint8 `[N, C, H, W]`, or `[N, T, C, H, W]` for recordings; `labels` int64 `[N]`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Source:
    """`files` decide whether a cached copy is still good; `variant` names whatever else the result depends on."""

    files: tuple[Path | str, ...]
    decode: Callable[[], Arrays]
    variant: str = ""
