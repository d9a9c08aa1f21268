"""The spaces by name, and the one way to build one from a configuration."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from neurons.errors import UserError
from neurons.settings import nearest
from snn_nas.genotype import Genotype
from snn_nas.graph import Graph
from snn_nas.spaces.space import Space

_SPACES = {
    "chain": "snn_nas.spaces.chain:Chain",
    "nb201": "snn_nas.spaces.nb201:NB201",
    "darts": "snn_nas.spaces.darts:DARTS",
}


def spaces() -> dict[str, type[Space]]:
    """Every space, by name."""
    return {name: kind(name) for name in _SPACES}


def kind(name: str) -> type[Space]:
    """The class of a space.

    Raises:
        UserError: there is none of this name.
    """
    if name not in _SPACES:
        raise UserError(f"unknown space {name!r}{nearest(name, _SPACES)}")
    module, _, attribute = _SPACES[name].partition(":")
    cls: type[Space] = getattr(importlib.import_module(module), attribute)
    return cls


def build(
    name: str,
    *,
    shape: tuple[int, int, int],
    classes: int,
    choices: Mapping[str, Any] | None = None,
    exportable: str | None = None,
) -> Space:
    """A space for images of `shape`, with its choices narrowed or widened by a configuration.

    With `exportable`, such as `nir`, only networks remain that can be exported to that format exactly.

    Raises:
        UserError: an unknown space or choice, or a choice that nothing implements.
    """
    cls = kind(name)
    given = dict(choices or {})
    known = {field for field in cls.__dataclass_fields__ if field not in ("shape", "classes")}  # type: ignore[attr-defined]
    for key in given:
        if key not in known:
            raise UserError(f"space {name!r} has no choice {key!r}{nearest(key, known)}")
    for key, value in given.items():
        several = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(one, bool | int | float | str) for one in several):
            raise UserError(f"space {name!r}: {key} is a list of names or numbers, not {value!r}")
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    space = cls(shape=shape, classes=classes, **tuples)  # type: ignore[call-arg]
    return space if exportable is None else space.narrowed(exportable)


def canonical(genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Genotype:
    """The one spelling of a genotype of any space (see `Space.spell`)."""
    return kind(genotype.space.name).spell(genotype, shape, classes)


def graph(genotype: Genotype, shape: tuple[int, int, int], classes: int) -> Graph:
    """Expand a genotype of any space (see `Space.graph`)."""
    return kind(genotype.space.name).graph(genotype, shape, classes)


def auxiliary(genotype: Genotype) -> str | None:
    """Where a genotype of any space may have an auxiliary head (see `Space.auxiliary`)."""
    return kind(genotype.space.name).auxiliary(genotype)
