"""N-MNIST: event-camera recordings, cut into time bins of event counts.

A recording is a sequence of 5-byte events: x, y, then 24 bits of which the first is the polarity and the other 23
the time in microseconds. A row of y = 240 is no event but says that 8,192 microseconds are to be added from there on.
Orchard et al. 2015, "Converting static image datasets to spiking neuromorphic datasets using saccades".
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurons.errors import UserError
from snn_nas.data.events import Events, frames
from snn_nas.data.places import missing
from snn_nas.data.registry import Entry
from snn_nas.data.source import Arrays, Part, Source

SIDE = 34
EVENT_BYTES = 5
MOST_EVENTS = 200_000
_OVERFLOW_ROW = 240
_OVERFLOW_TIME = 2**13


def nmnist(entry: Entry, root: Path, part: Part, steps: int) -> Source:
    """The recordings of one part, in the published folders or in the numbered ones of the small set.

    Raises:
        UserError: they are not there, or the list of the small set is damaged.
    """
    listed = _small(entry, root, part) if entry.name == "nmnist_small" else _published(entry, root, part)
    files = tuple(path for path, _ in listed)
    labels = np.array([label for _, label in listed], dtype=np.int64)
    return Source(files, partial(_decode, files, labels, steps), variant=f"{steps} steps")


def read_recording(path: Path) -> Events:
    """The events of one file.

    Raises:
        UserError: it is cut short, empty, or larger than any recording.
    """
    size = path.stat().st_size
    if size == 0 or size % EVENT_BYTES or size > MOST_EVENTS * EVENT_BYTES:
        raise UserError(f"{path} is not a recording: {size:,} bytes are not 1 to {MOST_EVENTS:,} events of 5 bytes")
    rows = np.fromfile(path, dtype=np.uint8).reshape(-1, EVENT_BYTES).astype(np.int64)
    time = ((rows[:, 2] & 0x7F) << 16) | (rows[:, 3] << 8) | rows[:, 4]
    overflow = rows[:, 1] == _OVERFLOW_ROW
    return Events(rows[:, 0], rows[:, 1], rows[:, 2] >> 7, time + np.cumsum(overflow) * _OVERFLOW_TIME).where(~overflow)


def _decode(files: tuple[Path, ...], labels: NDArray[np.int64], steps: int) -> Arrays:
    images = np.empty((len(files), steps, 2, SIDE, SIDE), dtype=np.uint8)
    for row, path in enumerate(files):
        images[row] = frames(read_recording(path), SIDE, steps, path)
    return Arrays(images, labels)


def _published(entry: Entry, root: Path, part: Part) -> list[tuple[Path, int]]:
    folder = root / "NMNIST" / part.capitalize()
    listed = [(path, label) for label in range(10) for path in sorted((folder / str(label)).glob("*.bin"))]
    if not listed:
        raise missing(entry, [folder])
    return listed


def _small(entry: Entry, root: Path, part: Part) -> list[tuple[Path, int]]:
    folder = root / "NMNISTsmall"
    index = folder / {"train": "train1K.txt", "test": "test100.txt"}[part]
    if not index.is_file():
        raise missing(entry, [folder])
    listed = []
    for number, line in enumerate(index.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != 2 or not all(word.isdecimal() for word in words):
            raise UserError(f"{index}, line {number}: a recording's number and its digit were expected")
        path = folder / f"{int(words[0])}.bs2"
        if not path.is_file():
            raise UserError(f"{index}, line {number}: {path.name} is not there")
        listed.append((path, int(words[1])))
    return listed
