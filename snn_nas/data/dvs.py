"""CIFAR10-DVS and DVS-Gesture: recordings of a 128x128 event camera, cut into time bins of event counts."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from neurons.errors import UserError
from snn_nas.data.aedat import read_aedat2, read_aedat31
from snn_nas.data.events import Events, frames
from snn_nas.data.places import missing
from snn_nas.data.registry import Entry
from snn_nas.data.source import Arrays, Part, Source

SIDE = 128
FIRST_TEST_NUMBER = 900
"""CIFAR10-DVS is published without a split: recordings 900 to 999 of every class are the test part."""


def cifar10_dvs(entry: Entry, root: Path, part: Part, steps: int) -> Source:
    """`ROOT/CIFAR10DVS/CLASS/cifar10_CLASS_NUMBER.aedat`, unpacked from the ten published archives.

    Raises:
        UserError: they are not there.
    """
    folder = root / "CIFAR10DVS"
    listed: list[tuple[Path, int]] = []
    for label, name in enumerate(entry.class_names):
        numbered = {int(n[1]): p for p in (folder / name).glob("*.aedat") if (n := re.search(r"_(\d+)$", p.stem))}
        mine = [path for number, path in sorted(numbered.items()) if (number >= FIRST_TEST_NUMBER) == (part == "test")]
        listed += [(path, label) for path in mine]
    if not listed:
        raise missing(entry, [folder])
    return Source(tuple(path for path, _ in listed), partial(_decode_files, listed, steps), f"{steps} steps")


def _decode_files(listed: list[tuple[Path, int]], steps: int) -> Arrays:
    images = np.empty((len(listed), steps, 2, SIDE, SIDE), dtype=np.uint8)
    for row, (path, _) in enumerate(listed):
        images[row] = frames(read_aedat2(path), SIDE, steps, path)
    return Arrays(images, np.array([label for _, label in listed], dtype=np.int64))


def dvs_gesture(entry: Entry, root: Path, part: Part, steps: int) -> Source:
    """`ROOT/DvsGesture`: long recordings, the spans of their gestures in `*_labels.csv`, and two lists of recordings.

    Raises:
        UserError: a file is not there.
    """
    folder = root / "DvsGesture"
    index = folder / f"trials_to_{part}.txt"
    if not index.is_file():
        raise missing(entry, [folder])
    names = [line.strip() for line in index.read_text(encoding="utf-8").splitlines() if line.strip()]
    files: list[Path] = []
    for name in names:
        recording = folder / name
        pair = (recording, recording.with_name(f"{recording.stem}_labels.csv"))
        if recording.parent != folder or not all(path.is_file() for path in pair):
            raise UserError(f"{index} names {name}, but {pair[0]} or {pair[1].name} is not there")
        files += pair
    return Source(tuple(files), partial(_decode_trials, files, steps, entry.classes), f"{steps} steps")


def _decode_trials(files: list[Path], steps: int, classes: int) -> Arrays:
    images, labels = [], []
    for recording, spans in zip(files[::2], files[1::2], strict=True):
        events = read_aedat31(recording)
        for number, (label, start, end) in enumerate(_spans(spans, classes), start=1):
            gesture = _between(events, start, end)
            images.append(frames(gesture, SIDE, steps, f"gesture {number} of {recording}"))
            labels.append(label - 1)
    return Arrays(np.stack(images), np.array(labels, dtype=np.int64))


def _between(events: Events, start: int, end: int) -> Events:
    return events.where((events.time >= start) & (events.time < end))


def _spans(path: Path, classes: int) -> list[tuple[int, int, int]]:
    """Rows `class,startTime_usec,endTime_usec`, classes counted from 1."""
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], start=2):
        words = [word.strip() for word in line.split(",")]
        if not any(words):
            continue
        if len(words) != 3 or not all(word.isdecimal() for word in words) or not 1 <= int(words[0]) <= classes:
            raise UserError(f"{path}, line {number}: a class from 1 to {classes}, a start and an end were expected")
        rows.append((int(words[0]), int(words[1]), int(words[2])))
    return rows
