"""How numbers are printed: the same in pictures, on the page and in the terminal."""

from __future__ import annotations

import math
from decimal import Decimal

from neurons.errors import UserError
from rules.registry import Pair, pair
from snn_nas.genotype import parse

NONE = "–"

LABELS = {
    "accuracy": "accuracy",
    "energy_uJ": "energy",
    "learning_energy_uJ": "learning energy",
    "synops": "synaptic operations",
    "parameters": "weights",
    "T": "steps T",
    "latency_steps": "latency, steps",
    "latency_us": "latency",
    "locality": "locality",
    "robustness": "robustness",
}
"""What a metric is called in a heading."""

_PARTS = ("accuracy", "locality", "robustness", "mean_rate")
_ENERGY = "_uJ"


def label(name: str) -> str:
    """A metric's name for a reader."""
    return LABELS.get(name, name.replace("_", " "))


def is_energy(name: str) -> bool:
    """Whether a metric is an energy."""
    return name.endswith(_ENERGY)


def on_profile(name: str) -> bool:
    """Whether a metric is an energy or a time of some hardware: none is ever printed without its profile."""
    return is_energy(name) or name == "latency_us"


def percent(part: float | None, digits: int = 1) -> str:
    """`95.6 %`."""
    return NONE if part is None else f"{100 * part:.{digits}f} %"


def count(value: float | None) -> str:
    """`12,345`; small means keep three digits, and so do the sizes of large spaces, `2.32e+84`."""
    if value is None:
        return NONE
    if isinstance(value, int) and value >= 10**15:
        return f"{Decimal(value):.2e}"  # it may be more than a float can hold
    if value and abs(value) < 100 and not float(value).is_integer():
        return f"{value:.3g}"
    return f"{value:,.0f}"


def energy(microjoules: float | None) -> str:
    """Three digits in the unit that fits: `812 pJ`, `1.53 nJ`, `12.3 µJ`, `4.56 mJ`."""
    return NONE if microjoules is None else _scaled(microjoules * 1e6, ("pJ", "nJ", "µJ", "mJ"))


def latency(microseconds: float | None) -> str:
    """Three digits in the unit that fits: `812 ns`, `12.3 µs`, `4.56 ms`."""
    return NONE if microseconds is None else _scaled(microseconds * 1e3, ("ns", "µs", "ms"))


def duration(seconds: float | None) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def metric(name: str, value: float | None) -> str:
    """Any metric; an energy or a time without its profile, which stands beside it or over its column."""
    if is_energy(name):
        return energy(value)
    if name == "latency_us":
        return latency(value)
    if name in _PARTS or name.endswith("_accuracy"):
        return percent(value)
    return count(value)


def rules_of(genotype: str) -> list[Pair]:
    """The rule of every gene, from the input to the readout; none where the text is no genotype of ours."""
    try:
        genes = parse(genotype).genes
        return [pair(gene.rule.name, gene.transport) for gene in genes if gene.rule is not None]
    except UserError:
        return []


def _scaled(value: float, units: tuple[str, ...]) -> str:
    """In the first of these units, each 1,000 of the one before, in which it has at most three digits."""
    for unit in units[:-1]:
        if abs(value) < 999.5:
            return f"{_digits(value)} {unit}"
        value /= 1e3
    return f"{_digits(value)} {units[-1]}"


def _digits(value: float) -> str:
    if not value:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value)) + 1e-3))
    return f"{value:.{min(places, 3)}f}"
