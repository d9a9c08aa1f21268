"""Fashion-MNIST's IDX files, gzipped or not.

An IDX file of bytes is: 0, 0, 0x08, the number of dimensions, each dimension as a big-endian 32-bit integer, and the
bytes. Nothing larger than what the data set holds is ever read, so a file that lies about its size costs nothing.
"""

from __future__ import annotations

import gzip
import math
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurons.errors import UserError
from snn_nas.data.places import missing
from snn_nas.data.registry import Entry
from snn_nas.data.source import Arrays, Part, Source

SYSTEM_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"),)
"""Where Linux distributions install the files (Debian: `dataset-fashion-mnist`)."""

LARGEST = 256 * 2**20
UNSIGNED_BYTE = 0x08


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array in `path`, with exactly `dimensions` axes.

    Raises:
        UserError: the file is not IDX, is cut short, has bytes left over, or claims more than `LARGEST` bytes.
    """
    header_size = 4 + 4 * dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(header_size)
            if len(header) < header_size or header[:4] != bytes((0, 0, UNSIGNED_BYTE, dimensions)):
                raise UserError(f"{path} is no IDX file of bytes with {dimensions} dimensions")
            shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(4, header_size, 4))
            size = math.prod(shape)
            if size > LARGEST:
                raise UserError(f"{path} claims {size:,} bytes of data, more than the {LARGEST:,} that are allowed")
            body = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if len(body) != size:
        raise UserError(f"{path} holds {'more' if len(body) > size else 'fewer'} bytes than the {size:,} it announces")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def fashion_mnist(entry: Entry, root: Path, part: Part) -> Source:
    """Fashion-MNIST under `ROOT/FashionMNIST/raw`, or where the distribution put it.

    Raises:
        UserError: the files are in none of these folders.
    """
    stem = {"train": "train", "test": "t10k"}[part]
    folders = (root / "FashionMNIST" / "raw", *SYSTEM_FOLDERS)
    for folder in folders:
        images = _first(folder / f"{stem}-images-idx3-ubyte")
        labels = _first(folder / f"{stem}-labels-idx1-ubyte")
        if images and labels:
            return Source((images, labels), partial(decode, images, labels))
    raise missing(entry, folders)


def decode(images: Path, labels: Path) -> Arrays:
    """Images `[N, 1, H, W]` and their labels.

    Raises:
        UserError: either file is damaged.
    """
    return Arrays(read_idx(images, 3)[:, None], read_idx(labels, 1).astype(np.int64))


def _first(path: Path) -> Path | None:
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)
