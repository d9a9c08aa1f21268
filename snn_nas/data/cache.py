"""Decoded data kept as safetensors in the user's cache, so that a data set is decoded once.

A cached copy is used only if its fingerprint (names, sizes and times of the source files) and the checksum of its
content agree; whatever else lies there, a file that was cut short included, is decoded again. Writing is atomic, so
that trials running side by side never see half a file.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_nas.data.places import cache_dir
from snn_nas.data.source import Part, Source

FORMAT = "1"


def fetch(name: str, part: Part, source: Source) -> tuple[Tensor, Tensor]:
    """Images (uint8) and labels (int64) of `source`, from the cache or decoded and then cached.

    Raises:
        UserError: the source files are damaged.
    """
    place = hashlib.sha256("\n".join([source.variant, *(str(Path(p).parent) for p in source.files[:1])]).encode())
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[-40:]
    path = cache_dir() / f"{stem}-{part}-{place.hexdigest()[:12]}.safetensors"
    wanted = fingerprint(source)
    found = _read(path, wanted)
    if found is None:
        arrays = source.decode()
        found = _tensor(arrays.images), _tensor(arrays.labels)
        _write(path, wanted, *found)
    return found


def fingerprint(source: Source) -> str:
    """A hash over the format, the variant, and every source file's path, size and time of change."""
    digest = hashlib.sha256(f"{FORMAT}\n{source.variant}\n".encode())
    for path in source.files:
        status = os.stat(path)  # noqa: PTH116 (there may be a million, as plain strings)
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _tensor(array: NDArray[Any]) -> Tensor:
    """The array as a tensor that may be written to; most arrays can lend their memory."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _checksum(images: Tensor, labels: Tensor) -> str:
    return f"{zlib.crc32(labels.numpy().data, zlib.crc32(images.numpy().data)):08x}"


def _read(path: Path, wanted: str) -> tuple[Tensor, Tensor] | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            if about.get("fingerprint") != wanted:
                return None
            images, labels = file.get_tensor("images"), file.get_tensor("labels")
            return (images, labels) if about.get("checksum") == _checksum(images, labels) else None
    except (OSError, SafetensorError):
        return None


def _write(path: Path, fingerprint: str, images: Tensor, labels: Tensor) -> None:
    """Write beside `path` and rename. A cache that cannot be written is a warning: the data is there all the same."""
    from safetensors.torch import save_file

    about = {"fingerprint": fingerprint, "checksum": _checksum(images, labels)}
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        os.close(handle)
        save_file({"images": images, "labels": labels}, temporary, metadata=about)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        warnings.warn(f"decoded data is not cached: {error}", stacklevel=2)
