"""Reading a .nir file that somebody else wrote: bounded and without surprises.

A .nir file is HDF5, which can point to other files, contain itself, and declare a 32 GB array in 24 KB. nir.read
follows all of that. Here everything is looked at before it is read: links and external or virtual data are refused,
sizes, depth and counts are capped, filters are the built-in ones, types are NIR's own, numbers are finite.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from neurons.errors import UserError

MAX_FILE = 1 << 30
MAX_DATA = 2 << 30
"""Bytes of all arrays together, as declared, before any is read."""
DENSEST = 1_100
"""Bytes that one byte of a file can stand for: deflate gets to about 1,030. Chunks never written take none."""
MAX_DEPTH = 8
MAX_OBJECTS = 200_000
MAX_NODES = 10_000
MAX_EDGES = 100_000
MAX_STEPS = 200_000_000
"""Edges that nir may look at while it infers shapes: after each, it searches them all. So many take it seconds."""
FILTERS = frozenset({"gzip", "lzf", None})
TYPES: dict[str, type[nir.NIRNode]] = {
    kind.__name__: kind
    for kind in (
        nir.Affine, nir.AvgPool2d, nir.Conv1d, nir.Conv2d, nir.CubaLI, nir.CubaLIF, nir.Delay, nir.Flatten, nir.I,
        nir.IF, nir.Input, nir.LI, nir.LIF, nir.Linear, nir.NIRGraph, nir.Output, nir.Scale, nir.SumPool2d,
        nir.Threshold,
    )
}  # fmt: skip
"""Node types that are read."""


def load_nir(path: str | Path) -> nir.NIRGraph:
    """Read a graph from a file of unknown origin.

    Raises:
        UserError: the file is missing, damaged, too large, has links, or holds what is no NIR graph.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_FILE:
            raise UserError(f"{path} is larger than {MAX_FILE:,} bytes")
        with h5py.File(path, "r") as file:
            room = min(MAX_DATA, DENSEST * path.stat().st_size)
            content = _Reader(str(path), room).group(_node_group(file, path), 0)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise UserError(f"{path} is no NIR file: {_line(error)}") from None
    _check(content, str(path))
    try:
        graph = nir.dict2NIRNode(content)
    # nir checks by assertion and by whatever numpy raises on the way, so that no narrower list is safe.
    except Exception as error:
        raise UserError(f"{path} holds no valid NIR graph: {_line(error)}") from None
    if not isinstance(graph, nir.NIRGraph):
        raise UserError(f"{path} holds a single {type(graph).__name__}, not a NIR graph")
    return graph


def _node_group(file: h5py.File, path: Path) -> h5py.Group:
    if not isinstance(file.get("node", getlink=True), h5py.HardLink):
        raise UserError(f"{path} is no NIR file: it has no group 'node' of its own")
    group = file["node"]
    if not isinstance(group, h5py.Group):
        raise UserError(f"{path} is no NIR file: 'node' is no group")
    return group


class _Reader:
    """HDF5 groups to dictionaries, with a budget."""

    def __init__(self, path: str, room: int) -> None:
        self.path = path
        self.bytes = self.room = room
        self.objects = MAX_OBJECTS
        self.seen: set[int] = set()

    def fail(self, where: str, reason: str) -> UserError:
        return UserError(f"{self.path}: {where} {reason}")

    def group(self, group: h5py.Group, depth: int) -> dict[str, Any]:
        where = str(group.name)
        if depth > MAX_DEPTH:
            raise self.fail(where[:80], f"is nested more than {MAX_DEPTH} deep")
        self.once(group, where)
        found: dict[str, Any] = {}
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise self.fail(f"{where}/{name}", "is a link")
            item = group[name]
            if isinstance(item, h5py.Group):
                found[name] = self.group(item, depth + 1)
            elif isinstance(item, h5py.Dataset):
                found[name] = self.dataset(item)
            else:
                raise self.fail(f"{where}/{name}", "is neither a group nor an array")
        return found

    def once(self, item: h5py.Group | h5py.Dataset, where: str) -> None:
        """A hard link can lead back up, or to one array a thousand times."""
        self.objects -= 1
        if self.objects < 0:
            raise self.fail(where, f"is beyond {MAX_OBJECTS:,} objects")
        address = h5py.h5o.get_info(item.id).addr
        if address in self.seen:
            raise self.fail(where, "is linked more than once")
        self.seen.add(address)

    def dataset(self, data: h5py.Dataset) -> Any:
        where = str(data.name)
        self.once(data, where)
        text = h5py.check_string_dtype(data.dtype) is not None
        if data.external or data.is_virtual:
            raise self.fail(where, "keeps its numbers in another file")
        if data.compression not in FILTERS or data.scaleoffset is not None:
            raise self.fail(where, "is compressed by an unknown filter")
        if data.shape is None or not (text or data.dtype.kind in "fiub"):
            raise self.fail(where, f"is of type {data.dtype}, not numbers or text")
        self.bytes -= max(int(data.nbytes), 1)
        if self.bytes < 0:
            raise self.fail(where, f"asks for more than {self.room:,} bytes in all")
        value = data[()]
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if data.dtype.kind == "f" and not np.isfinite(value).all():
            raise self.fail(where, "holds numbers that are not finite")
        return value


def _check(content: dict[str, Any], path: str, where: str = "the graph") -> int:
    """Types, that edges lead from node to node, and how much work it is to infer shapes; nir itself trusts all three.

    Returns:
        Edges that nir will look at.
    """
    kind = content.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise UserError(f"{path}: {where} is of the unknown type {str(kind)[:40]!r}")
    if kind != "NIRGraph":
        return 0
    nodes, edges = content.get("nodes"), content.get("edges")
    if not isinstance(nodes, dict) or not isinstance(edges, np.ndarray) or (edges.size and edges.shape[1:] != (2,)):
        raise UserError(f"{path}: {where} has no nodes or no edges")
    if len(nodes) > MAX_NODES or len(edges) > MAX_EDGES:
        raise UserError(f"{path}: {where} has more than {MAX_NODES:,} nodes or {MAX_EDGES:,} edges")
    steps: dict[str, int] = {}
    for name, node in nodes.items():
        if not isinstance(node, dict):
            raise UserError(f"{path}: node {name[:40]!r} is no group")
        steps[name] = _check(node, path, f"node {name[:40]!r}")
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        ends = [end.decode("utf-8", "replace") if isinstance(end, bytes) else str(end) for end in (source, target)]
        for end in ends:
            if end not in nodes:
                raise UserError(f"{path}: {where} has an edge to {end[:40]!r}, which does not exist")
        after[ends[0]].append(ends[1])
    fed = {target for targets in after.values() for target in targets}
    starts = [name for name, node in nodes.items() if name not in fed or node.get("type") == "Input"]
    total = _inference(after, steps, starts, len(edges))
    if total > MAX_STEPS:
        raise UserError(f"{path}: {where} is wired too densely for its shapes to be inferred")
    return total


def _inference(after: dict[str, list[str]], inside: dict[str, int], starts: list[str], edges: int) -> int:
    """Edges that nir's `infer_types` looks at, or a number above `MAX_STEPS`: its own walk, without the shapes."""
    seen, total = set(starts), edges
    ready = [target for name in starts for target in after[name]]
    while ready and total <= MAX_STEPS:
        target = ready.pop()
        seen.add(target)
        ready += [following for following in after[target] if following not in seen]
        total += edges + inside[target]
    return total


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
