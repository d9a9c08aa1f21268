"""Files that somebody else wrote: what we write is read, and what HDF5 could do to us is refused."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas.export import nir_import
from snn_nas.export.nir_export import save_nir
from snn_nas.export.nir_import import load_nir
from tests.export.conftest import Make

TEXT = "chain(T=2) { conv(c=4,down=avg)@frozen/lif; sepconv(c=4,skip=1)@frozen/lif(reset=hard); readout@delta }"


@pytest.fixture
def good(make: Make, tmp_path: Path) -> Path:
    save_nir(make(TEXT), tmp_path / "good.nir")
    return tmp_path / "good.nir"


def test_what_we_write_is_read_as_nir_reads_it(good: Path) -> None:
    ours, theirs = load_nir(good), nir.read(good)
    assert set(ours.nodes) == set(theirs.nodes)
    assert set(ours.edges) == set(theirs.edges)
    for name, node in theirs.nodes.items():
        for key, value in vars(node).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(getattr(ours.nodes[name], key), value)


def _external(file: h5py.File) -> None:
    file["node/nodes/stolen"] = h5py.ExternalLink("/etc/hostname", "/")


def _soft(file: h5py.File) -> None:
    file["node/nodes/again"] = h5py.SoftLink("/node")


def _cycle(file: h5py.File) -> None:
    file["node/nodes/loop"] = file["node"]


def _shared(file: h5py.File) -> None:
    file["node/nodes/layer1/more"] = file["node/nodes/layer1/weight"]


def _huge(file: h5py.File) -> None:
    file.create_dataset("node/nodes/layer1/huge", shape=(1 << 33,), dtype="f4", chunks=(1 << 20,), compression="gzip")


def _outside(file: h5py.File) -> None:
    file.create_dataset("node/nodes/layer1/outside", shape=(4,), dtype="u1", external=[("/etc/hostname", 0, 4)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=(4,))
    file.create_virtual_dataset("node/nodes/layer1/virtual", layout)


def _deep(file: h5py.File) -> None:
    file.create_group("node/nodes/" + "/".join("x" * 40))


def _nan(file: h5py.File) -> None:
    file["node/nodes/layer1/bias"][0] = np.nan


def _kind(file: h5py.File) -> None:
    del file["node/nodes/layer1/type"]
    file["node/nodes/layer1/type"] = "typing"


def _edge(file: h5py.File) -> None:
    del file["node/edges"]
    file["node/edges"] = np.array([["input", "nowhere"]], dtype="S8")


def _reference(file: h5py.File) -> None:
    file.create_dataset("node/nodes/layer1/ref", data=file["node"].ref, dtype=h5py.ref_dtype)


def _root(file: h5py.File) -> None:
    del file["node"]
    file["node"] = h5py.ExternalLink("/etc/hostname", "/")


def _shape(file: h5py.File) -> None:
    del file["node/nodes/layer1/weight"]
    file["node/nodes/layer1/weight"] = np.zeros(3)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (_external, "is a link"),
        (_soft, "is a link"),
        (_cycle, "linked more than once|nested"),
        (_shared, "linked more than once"),
        (_huge, "more than"),
        (_outside, "another file"),
        (_virtual, "another file"),
        (_deep, "nested"),
        (_nan, "not finite"),
        (_kind, "unknown type"),
        (_edge, "does not exist"),
        (_reference, "not numbers or text"),
        (_root, "no group 'node'"),
        (_shape, "no valid NIR graph"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_attack_is_one_line(good: Path, attack: Callable[[h5py.File], None], message: str) -> None:
    with h5py.File(good, "a") as file:
        attack(file)
    with pytest.raises(UserError, match=message) as error:
        load_nir(good)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MAX_OBJECTS", "is beyond 3 objects"), ("MAX_NODES", "more than 3 nodes"), ("MAX_EDGES", "or 3 edges")],
)
def test_every_count_has_a_limit(good: Path, monkeypatch: pytest.MonkeyPatch, limit: str, message: str) -> None:
    load_nir(good)
    monkeypatch.setattr(nir_import, limit, 3)
    with pytest.raises(UserError, match=message):
        load_nir(good)


def test_files_that_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="there is no file"):
        load_nir(tmp_path / "none.nir")
    path = tmp_path / "text.nir"
    path.write_text("hello")
    with pytest.raises(UserError, match="no NIR file"):
        load_nir(path)
    with h5py.File(tmp_path / "one.nir", "w") as file:
        file["node/type"] = "Linear"
        file["node/weight"] = np.zeros((2, 2))
    with pytest.raises(UserError, match="a single Linear"):
        load_nir(tmp_path / "one.nir")
    monkeypatch.setattr(nir_import, "MAX_FILE", 3)
    with pytest.raises(UserError, match="larger"):
        load_nir(path)


def _dense(path: Path, side: int) -> None:
    """Layers of `side` nodes, each wired to all of the next: nir walks along every path that it has not closed yet."""
    with h5py.File(path, "w") as file:
        nodes = file.create_group("node/nodes")
        file["node/type"] = "NIRGraph"
        names = [["input"], *([f"n{layer}_{i}" for i in range(side)] for layer in range(4)), ["output"]]
        for name in (name for layer in names for name in layer):
            group = nodes.create_group(name)
            if name in ("input", "output"):
                group["type"], group["shape"] = name.title(), np.array([2])
            else:
                group["type"], group["scale"] = "Scale", np.ones(2)
        edges = [(a, b) for below, above in pairwise(names) for a in below for b in above]
        file["node/edges"] = np.array(edges, dtype="S8")


def test_wiring_that_would_take_nir_for_ever_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dense(tmp_path / "dense.nir", 5)
    looked = 0

    class Counted(list):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[tuple[str, str]]:
            nonlocal looked
            for edge in super().__iter__():
                looked += 1
                yield edge

    with h5py.File(tmp_path / "dense.nir") as file:
        content = nir_import._Reader("", 1 << 20).group(file["node"], 0)
    predicted = nir_import._check(content, "")
    graph = load_nir(tmp_path / "dense.nir")
    graph.edges = Counted(graph.edges)
    graph.infer_types()
    assert 0.9 * predicted <= looked - 5 * len(graph.edges) <= predicted
    monkeypatch.setattr(nir_import, "MAX_STEPS", predicted - 1)
    with pytest.raises(UserError, match="too densely"):
        load_nir(tmp_path / "dense.nir")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_in_one_line_or_harmless(good: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    bad = good.with_name("bad.nir")
    bad.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    reason = ""
    try:
        load_nir(bad)
    except UserError as error:
        reason = str(error)
    assert "\n" not in reason
