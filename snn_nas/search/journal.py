"""The trial journal: one JSON object a line, only ever appended to.

A line counts once its newline is on the disk. A torn last line is what a kill leaves behind: it is dropped, and the
next append starts in its place. Anything unreadable before the last line means that somebody else wrote into the file:
that is an error which names the line, because to skip it would lose a trial silently.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from neurons.errors import UserError

Record = dict[str, Any]


class Journal:
    """A journal file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Record]:
        """All whole records, in order.

        Raises:
            UserError: a line other than the last is no JSON object.
        """
        return self._scan()[0]

    def append(self, record: Record) -> None:
        """Add a record; it is on the disk when this returns.

        Raises:
            UserError: the journal is corrupt.
        """
        line = json.dumps(record, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.truncate(self._scan()[1])
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def _scan(self) -> tuple[list[Record], int]:
        """The records, and where the last whole line ends."""
        content = self.path.read_bytes() if self.path.exists() else b""
        whole, newline, torn = content.rpartition(b"\n")
        records = []
        for number, line in enumerate(whole.split(b"\n") if newline else [], start=1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise UserError(f"{self.path}, line {number} is no JSON object: the journal was written to by others")
            records.append(record)
        return records, len(content) - len(torn)
