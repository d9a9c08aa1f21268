"""The house style of every picture: two themes, one type scale, colours that a colour-blind reader can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from neurons.errors import UserError
from rules.registry import pair
from snn_nas.search.files import write_bytes

DPI = 160
MAX_PIXELS = 16_000
UNKNOWN = "#888888"

SHARE_COLOURS = {
    "bp": "#4d4d4d",
    "aligned": "#1f78b4",
    "broadcast": "#e31a1c",
    "local": "#ff7f00",
    "unsupervised": "#b15928",
    "frozen": "#bdbdbd",
}
"""How weights count, by the error that reached them: the colour of the best known rule of each class."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of everything but rules."""

    name: str
    paper: str
    ink: str
    muted: str
    line: str
    faint: str
    accent: str
    scale: tuple[float, float]  # the part of viridis that can be told from the paper


LIGHT = Theme("light", "#ffffff", "#1f2328", "#59636e", "#d1d9e0", "#f0f3f6", "#0072b2", (0.0, 0.94))
DARK = Theme("dark", "#151b23", "#e6edf3", "#9198a1", "#3d444d", "#212830", "#56b4e9", (0.3, 1.0))


@contextmanager
def drawing(theme: Theme) -> Iterator[None]:
    """Everything drawn inside follows the house style."""
    settings: dict[str, Any] = {
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.muted,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.line,
        "grid.linewidth": 0.6,
        "grid.alpha": 0.6,
        "text.color": theme.ink,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.muted,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.labelcolor": theme.muted,
        "font.size": 10,
    }
    with mpl.rc_context({**mpl.rcParamsDefault, **settings, "backend": mpl.rcParams["backend"]}):
        yield


def canvas(width: float, height: float) -> Any:
    """An empty figure of this many inches."""
    return Figure(figsize=(width, height), layout="constrained")


def scale(theme: Theme) -> Any:
    """A colour scale that reads without colour vision, and on this theme's paper."""
    return ListedColormap(mpl.colormaps["viridis"](np.linspace(*theme.scale, 256)))


def resolution(figure: Any) -> float:
    """Dots an inch, fewer where a very long picture would burst."""
    return float(min(DPI, MAX_PIXELS / max(figure.get_size_inches())))


def write_picture(figure: Any, path: Path) -> None:
    """Replace a PNG file, whole or not at all."""
    content = BytesIO()
    figure.savefig(content, format="png", dpi=resolution(figure))
    write_bytes(path, content.getbuffer())


def rule_colour(name: str) -> str:
    """The colour of a rule as `Pair.name` prints it; grey where it is none of ours."""
    try:
        return pair(*name.split("~", 1)).colour
    except UserError:
        return UNKNOWN


def on(colour: str) -> str:
    """Black or white: which reads better on this colour."""
    return "#ffffff" if _luminance(colour) < 0.34 else "#16191d"


def stroke(colour: str, theme: Theme) -> str:
    """The colour, moved towards the ink until a thin line of it can be told from the paper."""
    for step in range(11):
        mixed = mix(colour, theme.ink, step / 10)
        if _contrast(mixed, theme.paper) >= 3.4:
            return mixed
    return theme.ink


def mix(one: str, other: str, part: float) -> str:
    """`part` of the way from one colour to the other."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(255 * (a + (b - a) * part)):02x}" for a, b in pairs)


def _channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _channels(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)
