"""A network from its file alone, and files that are none."""

import itertools
import json
import os
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from neurons.errors import UserError
from rules.registry import rules
from snn_nas import network
from snn_nas.export.weights import MAX_HEADER, claimed, load, read_header, save
from snn_nas.genotype import Term, parse
from tests.export.conftest import Make

WIDE = "conv(c=4096,k=11)@frozen/lif"
TEXT = "chain(T=2) { conv(c=4,down=avg)@frsf/plif; sepconv(c=4,skip=1)@kp/lif; readout@delta~usf }"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "chain(T=2) { conv(c=4)@local/lif; conv(c=4)@dfa/if; readout@delta }",
        "chain(T=2) { conv(c=4)@bp/alif; conv(c=4)@brsf/lif; readout@delta~fa }",
        *(f"chain(T=2,encoding={e}) {{ conv(c=4)@frozen/lif; readout@delta }}" for e in ("whiten", "onoff", "latency")),
    ],
)
def test_a_round_trip_gives_the_same_currents(make: Make, tmp_path: Path, text: str) -> None:
    network, images = make(text), torch.rand(7, 3, 12, 12)
    path = tmp_path / "net.safetensors"
    save(network, path, dataset="digits", class_names=("a", "b"))
    state = torch.get_rng_state()
    again = load(path)
    assert torch.equal(torch.get_rng_state(), state)
    assert again.genotype == network.genotype
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(images), network(images))
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]


def test_the_header_says_what_the_network_is(make: Make, tmp_path: Path) -> None:
    network = make(TEXT)
    save(network, tmp_path / "n", dataset="cifar10", class_names=("cat", "dog"), extra={"note": "hello"})
    header = read_header(tmp_path / "n")
    assert header["genotype"] == str(network.genotype)
    assert (header["shape"], header["classes"], header["dataset"]) == ([3, 12, 12], 10, "cifar10")
    assert header["class_names"] == ["cat", "dog"]
    assert header["normalise"]["mean"] == pytest.approx([0.4, 0.5, 0.6])
    assert set(header["versions"]) == {"snn-nas", "torch", "spikingjelly"}
    with safe_open(tmp_path / "n", "pt") as file:
        assert file.metadata()["note"] == "hello"


def rewrite(path: Path, **changes: object) -> None:
    """The same tensors under another header."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["snn-nas"])
    save_file(load_file(path), path, metadata={"snn-nas": json.dumps({**header, **changes})})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"genotype": f"chain(T=2) {{ {WIDE}; {WIDE}; readout@delta }}"}, "smaller than"),
        ({"genotype": "chain(T=2) { conv(c=4096)@dfa/lif; readout@delta }", "shape": [3, 4096, 4096]}, "smaller than"),
        ({"genotype": "chain(T=2) { conv(c=64)@local(pool=12)/lif; readout@delta }", "classes": 9_999}, "smaller than"),
        ({"genotype": "chain(T=2) { conv(c=99,k=1)@frozen/lif; conv(c=1,k=11)@stdp/lif; readout@delta }"}, "smaller"),
        ({"genotype": "chain(T=2) { conv(c=4)@frozen/lif; readout@delta }"}, "does not fit its genotype"),
        ({"genotype": "chain(T=2) { conv(c=4"}, "at character"),
        ({"genotype": 3}, "format"),
        ({"shape": [3, 1 << 40, 12]}, "format"),
        ({"shape": [3, True, 12]}, "format"),
        ({"classes": -1}, "format"),
        ({"format": "other"}, "format"),
        ({"normalise": {"mean": [0.0], "std": [1.0]}}, "normalisation"),
        ({"normalise": {"mean": "x"}}, "normalisation"),
        ({"normalise": {"mean": [0.0] * 3, "std": [0.0] * 3}}, "normalisation"),
    ],
)
def test_a_header_that_lies(make: Make, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "n"
    save(make(TEXT), path)
    rewrite(path, **changes)
    with pytest.raises(UserError, match=message) as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted({*rules()} - {"delta"}))
def test_what_a_network_claims_covers_what_its_rule_allocates(name: str) -> None:
    """Or a short file could ask for a lot of memory through that rule."""
    declared = rules()[name].settings
    extremes = [{key: value} for key, s in declared.items() for value in s.choices or (s.low, s.high)]
    built = 0
    for extreme, last in itertools.product([{}, *extremes], ("", "~fa")):
        gene = f"@{Term.of(name, **extreme)}{last}"
        text = f"chain(T=2) {{ conv(c=8)@frozen/lif; conv(c=1,k=5){gene}/plif; readout(grid=12)@delta~usf }}"
        try:
            found = network.build(parse(text), (3, 12, 12), 100)
        except UserError:
            continue  # this rule takes no transport, or must have one
        built += 1
        held = sum(tensor.numel() for tensor in [*found.parameters(), *found.buffers()])
        assert held <= 2.1 * claimed(found.graph) + 1000, gene
    assert built


def test_values_that_are_not_finite(make: Make, tmp_path: Path) -> None:
    network, path = make(TEXT), tmp_path / "n"
    save(network, path)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors["layers.layer1.synapse.weight"][0] = float("nan")
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(UserError, match=r"layer1\.synapse\.weight.*not finite"):
        load(path)
    with torch.no_grad():
        network.layers["layer1"].synapse.weight[0] = float("inf")
    with pytest.raises(UserError, match="not finite"):
        save(network, path)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 2) + b"{}", b"\x80\x04" * 50],
)
def test_files_that_are_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "n"
    path.write_bytes(content)
    with pytest.raises(UserError):
        load(path)
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / "none")


def test_a_header_too_large_is_not_read(tmp_path: Path) -> None:
    """Nor one that is said to be longer than the file: neither is a reason to take as much memory."""
    path = tmp_path / "n"
    for size, length in ((MAX_HEADER + 1, MAX_HEADER + 100), (1 << 60, 100)):
        with path.open("wb") as file:
            file.write(struct.pack("<Q", size))
            os.truncate(file.fileno(), length)
        with pytest.raises(UserError, match="no safetensors file"):
            load(path)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "n"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 5 << 30)
    with pytest.raises(UserError, match="at most"):
        load(path)


def test_whoever_may_read_other_files_may_read_it(make: Make, tmp_path: Path) -> None:
    save(make(TEXT), tmp_path / "n")
    (tmp_path / "other").touch()
    assert (tmp_path / "n").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_nothing_half_written_is_left(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "n"
    save(make(TEXT), path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        save(make(TEXT, seed=1), path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["n"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_an_error_in_one_line_or_harmless(make: Make, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "n"
    if not path.exists():
        save(make(TEXT), path)
        (tmp_path / "good").write_bytes(path.read_bytes())
    good = bytearray((tmp_path / "good").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, min(len(good), 4000) - 1))] = data.draw(st.integers(0, 255))
    bad = tmp_path / "bad"
    bad.write_bytes(good[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else good)
    reason = ""
    try:
        load(bad)
    except UserError as error:
        reason = str(error)
    assert "\n" not in reason
