"""Typed reading of a JSON object: every slip is one line that names the file, the key and what was found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from neurons.errors import UserError

MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object and where it stands. A key without a default has to be there."""

    record: Mapping[str, Any]
    where: str

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        value = self.record.get(key)
        value = default if value is None else value
        return value if isinstance(value, str) else self._fail(key, "a text")

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.maybe_number(key)
        return self._fail(key, "a number") if value is None else value

    def maybe_number(self, key: str) -> float | None:
        """A finite number, or nothing."""
        value = self.record.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self._fail(key, "a number")
        return float(value)

    def integer(self, key: str) -> int:
        """A whole number."""
        value = self.number(key)
        return int(value) if value.is_integer() else self._fail(key, "a whole number")

    def maybe_integer(self, key: str) -> int | None:
        """A whole number, or nothing."""
        return None if self.record.get(key) is None else self.integer(key)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where the key is missing."""
        values = self._list(key)
        return tuple(values) if all(isinstance(value, str) for value in values) else self._fail(key, "a list of texts")

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of numbers; empty where the key is missing."""
        return tuple(Fields({key: value}, self.where).number(key) for value in self._list(key))

    def part(self, key: str) -> Fields:
        """An object within this one; empty where the key is missing."""
        value = self.record.get(key)
        if value is not None and not isinstance(value, dict):
            self._fail(key, "an object")
        return Fields(value or {}, f"{self.where}: {key}")

    def parts(self, key: str) -> list[Fields]:
        """A list of objects; empty where the key is missing."""
        values = self._list(key)
        if not all(isinstance(value, dict) for value in values):
            self._fail(key, "a list of objects")
        return [Fields(value, f"{self.where}: {key} {number}") for number, value in enumerate(values, 1)]

    def metrics(self, key: str) -> dict[str, float] | None:
        """An object of numbers, without those that were not measured; nothing where the key is missing."""
        if self.record.get(key) is None:
            return None
        part = self.part(key)
        return {name: value for name in part.record if (value := part.maybe_number(name)) is not None}

    def _list(self, key: str) -> list[Any]:
        value = self.record.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            self._fail(key, f"a list of at most {MAX_ITEMS} items")
        return list(value)

    def _fail(self, key: str, wanted: str) -> NoReturn:
        if key not in self.record:
            raise UserError(f"{self.where}: {key!r} is missing")
        found = repr(self.record[key])
        raise UserError(f"{self.where}: {key} is {wanted}, not {found if len(found) < 60 else found[:57] + '...'}")
