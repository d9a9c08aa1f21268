"""A trained network in one safetensors file: weights, and in the header everything that rebuilds the network.

No pickle and nothing that is evaluated: the header is JSON text, the genotype has a grammar, tensors are raw numbers.
What a file claims about itself is checked before anything of its size is allocated.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurons.errors import UserError
from neurons.settings import resolve
from snn_nas.data.dataset import Normalise
from snn_nas.energy.learning import head_features
from snn_nas.genotype import parse
from snn_nas.graph import Graph, size
from snn_nas.network import Network, build
from snn_nas.spaces import graph

FORMAT = "snn-nas/network/1"
MAX_BYTES = 4 << 30
MAX_HEADER = 4 << 20
MAX_SIDE = 4096
MAX_CLASSES = 100_000
_KINDS: dict[str, Any] = {
    "genotype": str, "dataset": str, "encoding": str, "class_names": list, "split": dict, "versions": dict,
    "normalise": dict | None,
}  # fmt: skip


def save(
    network: Network,
    path: str | Path,
    *,
    dataset: str = "",
    class_names: tuple[str, ...] = (),
    split: Mapping[str, Any] | None = None,
    extra: dict[str, str] | None = None,
) -> None:
    """Write the network, all or nothing.

    Args:
        network: built from a genotype.
        path: of the file; conventionally `.safetensors`.
        dataset: the name of the data set on which it was trained.
        class_names: names of the outputs.
        split: what decided which training images were held out.
        extra: further entries of the header, for readers; `load` ignores them.

    Raises:
        UserError: the network has no genotype, is folded or holds values that are not finite, or writing fails.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save as packed

    if network.genotype is None:
        raise UserError("a network without a genotype cannot be saved: it could not be rebuilt")
    if any(layer.population is not None and isinstance(layer.norm, nn.Identity) for layer in network):
        raise UserError("a folded network cannot be saved: save the one that it was folded from")
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    for name, tensor in state.items():
        _finite(name, tensor, "this network")
    source = network.graph.nodes[0]
    header = {
        "format": FORMAT,
        "genotype": str(network.genotype),
        "shape": list(_image_shape(network)),
        "classes": network.graph.classes,
        "encoding": source.encoding,
        "dataset": dataset,
        "class_names": list(class_names),
        "split": dict(split or {}),
        "normalise": _constants(network.normalise),
        "versions": {name: _version(name) for name in ("snn-nas", "torch", "spikingjelly")},
    }
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:  # not by save_file, whose files nobody else may read
            file.write(packed(state, metadata={"snn-nas": json.dumps(header), **(extra or {})}))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from None
    finally:
        part.unlink(missing_ok=True)


def load(path: str | Path, *, backend: str = "auto") -> Network:
    """Rebuild a network from its file alone, in evaluation mode.

    Raises:
        UserError: the file is missing, damaged, too large, of another format, or does not fit its own genotype.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header = read_header(path)
    genotype, shape = parse(header["genotype"]), tuple(header["shape"])
    normalise = _normalise(header["normalise"], shape[0], path)
    if 4 * claimed(graph(genotype, shape, header["classes"])) > Path(path).stat().st_size:
        raise UserError(f"{path} is damaged: it is smaller than the network that it names")
    # Weights are drawn and then overwritten; the caller's random numbers are left alone.
    with torch.random.fork_rng(devices=[]):
        network = build(genotype, shape, header["classes"], normalise=normalise, backend=backend)
    expected = network.state_dict()
    _check(expected, _shapes(path), path)
    try:
        found = load_file(path)
        network.load_state_dict(found)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())[:300]}") from None
    for name, tensor in found.items():
        if tensor.dtype != expected[name].dtype:
            raise UserError(f"{path} does not fit its genotype: {name!r} is of {tensor.dtype}")
        _finite(name, tensor, str(path))
    return network.eval()


def read_header(path: str | Path) -> dict[str, Any]:
    """What a file says about its network: genotype, shape, classes, data set, normalisation, versions.

    Reads the header alone.

    Raises:
        UserError: the file is missing, too large, or no network of ours.
    """
    path = Path(path)
    try:
        length = path.stat().st_size
        if length > MAX_BYTES:
            raise UserError(f"{path} has {length:,} bytes; at most {MAX_BYTES:,} are read")
        with path.open("rb") as file:
            first = file.read(8)
            size = struct.unpack("<Q", first)[0] if len(first) == 8 else MAX_HEADER + 1
            if size > min(MAX_HEADER, length):
                raise UserError(f"{path} is no safetensors file")
            outer = json.loads(file.read(size))
        header = json.loads(outer["__metadata__"]["snn-nas"])
        shape, classes = header["shape"], header["classes"]
        whole = [*shape, classes]
        valid = (
            header["format"] == FORMAT
            and all(isinstance(header[key], kind) for key, kind in _KINDS.items())
            and all(isinstance(name, str) for name in header["class_names"])
            and len(shape) == 3
            and all(type(value) is int and value >= 1 for value in whole)
            and max(shape) <= MAX_SIDE
            and classes <= MAX_CLASSES
        )
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no network file of snn-nas") from None
    if not valid:
        raise UserError(f"{path} is no network file of the format {FORMAT}")
    checked: dict[str, Any] = header
    return checked


def claimed(graph: Graph) -> int:
    """Numbers that building this graph allocates at least: a short file must not ask for a large network."""
    total = graph.weights
    for node in graph.layers:
        assert node.synapse is not None
        assert node.rule is not None
        declared = node.pair.declaration
        total += graph.classes * (size(node.shape) * declared.dataflow.broadcast)
        total += graph.classes * (head_features(node) * declared.dataflow.head)
        if "decorrelate" in declared.settings:  # a matrix over the inputs of one neuron
            total += node.synapse.fan_in**2 * bool(resolve(node.rule.values, declared.settings, "")["decorrelate"])
    return total


def _shapes(path: str | Path) -> dict[str, list[int]]:
    """What the file holds, from its header alone."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())[:300]}") from None


def _check(expected: Mapping[str, Tensor], found: Mapping[str, list[int]], path: str | Path) -> None:
    """Names and shapes are the network's own; a fitted encoding's buffers alone may have any shape."""
    if odd := sorted(set(expected) ^ set(found)):
        what = "missing" if odd[0] in expected else "unknown"
        raise UserError(f"{path} does not fit its genotype: {odd[0]!r} is {what}")
    for name, shape in found.items():
        wanted = expected[name]
        fitted = name.startswith("encoding.") and wanted.numel() == 0
        if shape != list(wanted.shape) and not fitted:
            raise UserError(f"{path} does not fit its genotype: {name!r} is {shape}, not {list(wanted.shape)}")


def _finite(name: str, tensor: Tensor, where: str) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise UserError(f"{where}: {name!r} holds values that are not finite")


def _image_shape(network: Network) -> tuple[int, ...]:
    """The image's shape, before an encoding that multiplies channels."""
    channels, *sides = network.graph.nodes[0].shape
    return (channels // network.encoding.declaration.channel_factor, *sides)


def _constants(normalise: nn.Module) -> dict[str, list[float]] | None:
    if not isinstance(normalise, Normalise):
        return None
    return {"mean": normalise.mean.flatten().tolist(), "std": normalise.std.flatten().tolist()}


def _normalise(constants: Any, channels: int, path: str | Path) -> Normalise | None:
    if constants is None:
        return None
    try:
        mean, std = (tuple(float(value) for value in constants[key]) for key in ("mean", "std"))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} is damaged: its normalisation cannot be read") from None
    if len(mean) != channels or len(std) != channels or min(std) <= 0:
        raise UserError(f"{path} is damaged: its normalisation does not fit {channels} channels")
    return Normalise(mean, std)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
