"""AEDAT files of versions 2.0 and 3.1, in which CIFAR10-DVS and DVS-Gesture are published.

Both begin with lines of text that start with `#`. Then 2.0 is a sequence of (address, time) as big-endian 32-bit
words; 3.1 is a sequence of packets, each with a header of 28 bytes and little-endian (address, time) events.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurons.errors import UserError
from snn_nas.data.events import Events

LARGEST = 2**30
_HEADER_BYTES = 28
_POLARITY_EVENT = 1
_EVENT_BYTES = 8


def read_aedat2(path: Path) -> Events:
    """The events of a DVS128 that jAER recorded (CIFAR10-DVS).

    x and y are exchanged and counted from the far side and polarity is inverted, so that images stand upright.

    Raises:
        UserError: the file is not AEDAT 2.0 or is cut short.
    """
    body = _body(path, b"#!AER-DAT2.0")
    if len(body) % _EVENT_BYTES:
        raise UserError(f"{path} is cut short: {len(body):,} bytes are no whole number of 8-byte events")
    address, time = np.frombuffer(body, dtype=">u4").reshape(-1, 2).astype(np.int64).T
    x, y, polarity = address >> 1 & 0x7F, address >> 8 & 0x7F, address & 1
    return Events(127 - y, 127 - x, 1 - polarity, time)


def read_aedat31(path: Path) -> Events:
    """The polarity events of a cAER recording (DVS-Gesture).

    Raises:
        UserError: the file is not AEDAT 3.1, or a packet is cut short.
    """
    body = _body(path, b"#!AER-DAT3.1")
    packets, at = [], 0
    while at < len(body):
        head = body[at : at + _HEADER_BYTES].ljust(_HEADER_BYTES, b"\0")
        kind = int.from_bytes(head[:2], "little")
        size, overflow, capacity = (int.from_bytes(head[i : i + 4], "little") for i in (4, 12, 16))
        start = at + _HEADER_BYTES
        end = start + size * capacity
        if end > len(body) or (kind == _POLARITY_EVENT and size != _EVENT_BYTES):
            raise UserError(f"{path} is cut short or damaged: byte {at:,} begins no whole packet")
        if kind == _POLARITY_EVENT:
            address, time = np.frombuffer(body[start:end], dtype="<u4").reshape(-1, 2).astype(np.int64).T
            packets.append(np.stack([address >> 17, address >> 2 & 0x7FFF, address >> 1 & 1, time | overflow << 31]))
        at = end
    return Events(*np.concatenate(packets, axis=1)) if packets else Events(*np.empty((4, 0), dtype=np.int64))


def _body(path: Path, signature: bytes) -> bytes:
    """What follows the lines of text."""
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path} is larger than the {LARGEST:,} bytes that a recording may have")
    content = path.read_bytes()
    if not content.startswith(signature):
        raise UserError(f"{path} does not begin with {signature.decode()}")
    at = 0
    while content[at : at + 1] == b"#":
        end = content.find(b"\n", at)
        line = content[at:] if end < 0 else content[at:end]
        at = len(content) if end < 0 else end + 1
        if line.startswith(b"#!END-HEADER"):
            break
    return content[at:]
