"""Reads the pickles in which CIFAR and ImageNet16 are published, without running what a pickle may ask for.

Those files hold a dictionary of numbers, strings, lists and byte arrays. Only the three names that a pickled array
needs are admitted, and each stands for an inert record of ours: no code of numpy or of anybody else is called.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurons.errors import UserError

_DTYPES = {"u1", "i4", "i8", "f4", "f8"}


class _Dtype:
    """What `numpy.dtype` was called with; byte order and the rest of its state arrive by `__setstate__`."""

    def __init__(self, kind: str | bytes, *_: object) -> None:
        self.kind = _text(kind)
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = _text(state[1])


class _Array:
    """The pickled state of an array: version, shape, dtype, Fortran order, bytes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.content = state

    def array(self) -> NDArray[Any]:
        if self.dtype.kind not in _DTYPES or self.dtype.order not in "<>|" or self.fortran:
            raise ValueError("an array of an unexpected kind")
        kind = self.dtype.order.replace("|", "") + self.dtype.kind
        content = self.content.encode("latin-1") if isinstance(self.content, str) else self.content
        return np.frombuffer(content, dtype=kind).reshape(self.shape)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _encode(text: str, codec: str) -> bytes:
    """How Python 3 writes bytes at protocol 2."""
    if codec != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin-1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Inert(pickle.Unpickler):
    """An unpickler that knows our records and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def read_batch(path: Path, label_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`data` (uint8 `[N, C H W]`) and the labels (`[N]`) of one batch file.

    Raises:
        UserError: the file is no such batch, is damaged, or asks for anything beyond numbers, text and arrays.
    """
    try:
        with path.open("rb") as file:
            batch = _Inert(file, encoding="bytes").load()
        content = {_text(key): value for key, value in batch.items()}
        data, labels = content["data"].array(), content[label_key]
        labels = labels.array() if isinstance(labels, _Array) else np.array(labels, dtype=np.int64)
        if data.dtype != np.uint8 or data.ndim != 2 or labels.shape != (len(data),):
            raise ValueError("data and labels that do not fit together")
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise UserError(f"{path} is not a batch of images: {reason}") from error
    return data, labels.astype(np.int64)


def _text(key: str | bytes) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)
