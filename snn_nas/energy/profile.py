"""Profiles: named energy models of hardware, one YAML file each, with source and kind.

The figures decide the answer, so each has an address: a profile without a source does not load. What is not known is
null, and a cause that needs it is named as missing beside the result; nothing is guessed in silence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from neurons.errors import UserError
from neurons.settings import nearest
from snn_nas.yaml_file import read_yaml

Kind = Literal["measured", "derived", "assumed"]

DEFAULT = "45nm_fp32"
"""Compute only, and what most papers print; say `lemaire` for the memory, which is the larger part."""

_HERE = Path(__file__).parent / "profiles"
SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "profile.schema.json").read_text(encoding="utf-8"))
"""JSON schema of a profile file; `snn-nas energy --schema` prints it."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A named energy model. Energies in pJ, times in ns; None where no trustworthy figure exists.

    Attributes:
        name, title: for tables; for readers.
        node, precision: technology, such as `45 nm`; number format, such as `fp32`.
        source, kind: where the figures are from; whether they were measured, derived or assumed.
        e_mac, e_ac: one multiply-accumulate, one addition.
        e_synop: one synaptic operation with everything that belongs to it on that chip, memory included.
        e_neuron_update: one neuron's update in one time step.
        e_learning_update: one synapse's change.
        hop: one spike sent to the next layer, taken as one hop.
        t_step: ns, of every time step whatever happens in it: a fixed tick, or what its synchronisation takes.
        t_synop, t_neuron_update: ns of a core, for one synaptic operation and for one neuron's update in one time step.
        core_neurons: neurons that a core holds.
        bits: width of a word, for memory and for the quantised twin.
        memory: points (bytes, pJ per word), joined by straight lines; empty where memory is not modelled.
        note: what else to know.
    """

    name: str
    title: str
    node: str
    precision: str
    source: str
    kind: Kind
    e_mac: float | None = None
    e_ac: float | None = None
    e_synop: float | None = None
    e_neuron_update: float | None = None
    e_learning_update: float | None = None
    hop: float | None = None
    t_step: float | None = None
    t_synop: float | None = None
    t_neuron_update: float | None = None
    core_neurons: int | None = None
    bits: int = 32
    memory: tuple[tuple[float, float], ...] = ()
    note: str = ""

    @property
    def known(self) -> bool:
        """Whether it can price a synaptic operation at all."""
        return self.e_synop is not None or (self.e_ac is not None and self.e_mac is not None)

    @property
    def chip(self) -> bool:
        """Whether operations are priced per synaptic operation of a chip, not per arithmetic operation."""
        return self.e_synop is not None

    @property
    def learns(self) -> bool:
        """Whether it can price learning: a chip needs a figure for a synapse's change."""
        return self.known and (not self.chip or self.e_learning_update is not None)

    @property
    def timed(self) -> bool:
        """Whether it can say how long a time step takes."""
        return self.t_step is not None or self.t_synop is not None

    def check(self, objectives: Collection[str]) -> None:
        """Raise UserError where one of these objectives is an energy or a time that the profile has no figures for."""
        lacking = {
            "energy_uJ": None if self.known else "a synaptic operation",
            "learning_energy_uJ": None if self.learns else "a synapse's change",
            "latency_us": None if self.timed else "the time of a step, which latency_steps does without",
        }
        for name, what in lacking.items():
            if what is not None and name in objectives:
                raise UserError(f"profile {self.name!r} has no figure for {what}: {name} cannot be an objective on it")

    def access(self, words: float) -> float:
        """Energy in pJ of one word's access in a memory that holds `words` words: linear between the table's points."""
        size = words * self.bits / 8
        points = self.memory
        for (low, cheap), (high, dear) in pairwise(points):
            if size <= high:
                return cheap + (dear - cheap) * (size - low) / (high - low)
        (low, cheap), (high, dear) = points[-2:]
        return dear + (dear - cheap) * (size - high) / (high - low)


def profiles() -> list[str]:
    """The names of the shipped profiles."""
    return sorted(path.stem for path in _HERE.glob("*.yml"))


def profile(name: str | Path) -> Profile:
    """A shipped profile by name, or a user's own by the path of its file.

    Raises:
        UserError: there is none, or the file is no profile; the message names the key.
    """
    text = str(name)
    if text in profiles():
        return _read(_HERE / f"{text}.yml")
    path = Path(text)
    if path.suffix in (".yml", ".yaml") or "/" in text:
        if not path.is_file():
            raise UserError(f"there is no profile file {text}")
        return _read(path)
    raise UserError(f"unknown energy profile {text!r}{nearest(text, profiles())}; or give the path of a .yml file")


@lru_cache(maxsize=64)
def _shipped(path: Path) -> Profile:
    return _parse(path)


def _read(path: Path) -> Profile:
    return _shipped(path) if path.parent == _HERE else _parse(path)


def _parse(path: Path) -> Profile:
    return from_mapping(read_yaml(path), str(path))


def from_mapping(content: Any, where: str = "profile") -> Profile:
    """A profile from a parsed file.

    Raises:
        UserError: an unknown key, a missing one, a value of the wrong kind, or figures that contradict each other.
    """
    import jsonschema

    if isinstance(content, Mapping):
        for key in content:
            if key not in SCHEMA["properties"]:
                raise UserError(f"{where}: unknown key {key!r}{nearest(str(key), SCHEMA['properties'])}")
    try:
        jsonschema.Draft202012Validator(SCHEMA).validate(content)
    except jsonschema.ValidationError as error:
        at = ".".join(map(str, error.absolute_path))
        raise UserError(f"{where}: {at + ': ' if at else ''}{' '.join(error.message.split())[:300]}") from None
    numbers = [value for value in content.values() if isinstance(value, float)]
    if not all(map(math.isfinite, [*numbers, *(number for point in content.get("memory", ()) for number in point)])):
        raise UserError(f"{where}: a figure is no finite number")
    memory = tuple((float(size), float(energy)) for size, energy in content.get("memory", ()))
    if any(a >= b for (a, _), (b, _) in pairwise(memory)):
        raise UserError(f"{where}: memory: the sizes must grow from point to point")
    if any(a > b for (_, a), (_, b) in pairwise(memory)):
        raise UserError(f"{where}: memory: a larger memory is never cheaper to access; the energies fall")
    if reason := _contradiction(content):
        raise UserError(f"{where}: {reason}")
    return Profile(**{**content, "memory": memory})


def _contradiction(content: Mapping[str, Any]) -> str:
    """What figures cannot stand together: a sum of both would count the same energy twice, or compare unequals."""
    mac, ac, synop = (content.get(key) for key in ("e_mac", "e_ac", "e_synop"))
    if (mac is None) != (ac is None):
        return "e_mac and e_ac belong together; give both, or neither"
    if synop is not None and mac is not None:
        return "e_synop is a chip's figure, e_mac and e_ac are arithmetic's; give one kind to a file"
    if synop is not None and content.get("memory"):
        return "e_synop holds a chip's memory already; leave memory out"
    if mac is not None and ac is not None and mac < ac:
        return "e_mac is a multiplication and an addition; it cannot be less than e_ac"
    return ""
