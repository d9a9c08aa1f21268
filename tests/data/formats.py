"""Tiny files in the published formats, and what the tests of the readers share."""

from __future__ import annotations

import gzip
import hashlib
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snn_nas.data import batches, idx

RANDOM = np.random.default_rng(0)


def one_line(error: pytest.ExceptionInfo[Any]) -> str:
    """The message, which is a single line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def no_system_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "SYSTEM_FOLDERS", ())


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_fashion(root: Path, parts: Sequence[str] = ("train", "t10k"), zipped: bool = True) -> Path:
    """30 training and 20 test images of 28x28; item i of class i % 10 is filled with i."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        number = np.arange(30 if part == "train" else 20, dtype=np.uint8)
        images = np.broadcast_to(number[:, None, None], (len(number), 28, 28))
        for stem, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", number % 10)):
            content = idx_bytes(np.ascontiguousarray(array))
            name = f"{part}-{stem}"
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def write_batches(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch, side: int = 32, labels: Sequence[int] = (*range(10),) * 2
) -> Path:
    """Every batch file of `name` with a random image per label, and the published md5s replaced by theirs."""
    layout = batches.FORMATS[name]
    folder = root / layout.folder
    folder.mkdir(parents=True, exist_ok=True)
    sums: dict[str, str] = {}
    for file in (*layout.train, *layout.test):
        data = RANDOM.integers(0, 256, (len(labels), 3 * side * side), dtype=np.uint8)
        content = pickle.dumps({b"data": data, layout.label_key.encode(): list(labels), b"filenames": ["x"]}, 2)
        content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        (folder / file).write_bytes(content)
        sums[file] = hashlib.md5(content).hexdigest()
    publish(name, sums, monkeypatch)
    return folder


def publish(name: str, sums: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `sums` the published md5s of some files."""
    layout = batches.FORMATS[name]
    train = {file: sums.get(file, md5) for file, md5 in layout.train.items()}
    test = {file: sums.get(file, md5) for file, md5 in layout.test.items()}
    monkeypatch.setitem(batches.FORMATS, name, replace(layout, train=train, test=test))


def write_images(
    folder: Path, classes: Iterable[str], count: int, size: tuple[int, int] = (8, 6), mode: str = "RGB"
) -> None:
    """`count` PNG images of width x height = `size` per class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
            pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:03}.png")


def event_bytes(events: Sequence[tuple[int, int, int, int]]) -> bytes:
    """`(x, y, polarity, microseconds)` as N-MNIST stores them."""
    rows = [(x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255) for x, y, p, t in events]
    return bytes(value for row in rows for value in row)


def aedat2_bytes(events: Sequence[tuple[int, int, int, int]]) -> bytes:
    """The same as jAER stored CIFAR10-DVS: x and y exchanged and reversed, polarity inverted, big-endian."""
    words = [((127 - x) << 8 | (127 - y) << 1 | (1 - p), t) for x, y, p, t in events]
    return b"#!AER-DAT2.0\r\n# a comment\r\n" + np.array(words, dtype=">u4").tobytes()


def aedat31_bytes(*packets: Sequence[tuple[int, int, int, int]]) -> bytes:
    """A packet of polarity events each, behind one of special events (type 0) that readers pass over."""
    content = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n" + _packet(0, np.zeros((1, 2), dtype="<u4"))
    for events in packets:
        words = [(x << 17 | y << 2 | p << 1 | 1, t) for x, y, p, t in events]
        content += _packet(1, np.array(words, dtype="<u4"))
    return content


def _packet(kind: int, words: np.ndarray) -> bytes:
    head = np.array([8, 4, 0, len(words), len(words), len(words)], dtype="<u4").tobytes()
    return np.array([kind, 0], dtype="<u2").tobytes() + head + words.tobytes()
