from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neurons.errors import UserError
from snn_nas.data import cache, load
from snn_nas.data.download import download
from snn_nas.data.registry import describe
from snn_nas.data.source import Arrays, Source


class Counting:
    """A source of two items that counts how often it is decoded."""

    def __init__(self, path: Path) -> None:
        self.times = 0
        path.write_text("data")
        self.source = Source((path,), self.decode)

    def decode(self) -> Arrays:
        self.times += 1
        return Arrays(np.full((2, 1, 3, 3), 7, dtype=np.uint8), np.array([0, 1]))


@pytest.fixture
def counting(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "source")


def cached(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_decoded_once(counting: Counting, own_cache: Path) -> None:
    first = cache.fetch("x", "train", counting.source)
    second = cache.fetch("x", "train", counting.source)
    assert counting.times == 1
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert cached(own_cache).suffix == ".safetensors"


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "garbage"])
def test_a_damaged_copy_is_made_again(counting: Counting, own_cache: Path, damage: str) -> None:
    cache.fetch("x", "train", counting.source)
    path = cached(own_cache)
    whole = path.read_bytes()
    flipped = whole[:-1] + bytes((whole[-1] ^ 1,))
    path.write_bytes({"cut": whole[:-5], "empty": b"", "flip": flipped, "garbage": os.urandom(200)}[damage])
    images, labels = cache.fetch("x", "train", counting.source)
    assert counting.times == 2
    assert images.unique().tolist() == [7]
    assert labels.tolist() == [0, 1]
    cache.fetch("x", "train", counting.source)
    assert counting.times == 2


def test_a_changed_source_is_decoded_again(counting: Counting, own_cache: Path) -> None:
    cache.fetch("x", "train", counting.source)
    Path(counting.source.files[0]).write_text("other data")
    cache.fetch("x", "train", counting.source)
    assert counting.times == 2
    cached(own_cache)


def test_a_failed_decoding_leaves_nothing_behind(own_cache: Path) -> None:
    def fail() -> Arrays:
        raise UserError("damaged")

    with pytest.raises(UserError):
        cache.fetch("x", "train", Source((), fail))
    assert not own_cache.exists()


def test_a_cache_that_cannot_be_written_is_a_warning(
    counting: Counting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not cached"):
        images, _ = cache.fetch("x", "train", counting.source)
    assert len(images) == 2


def test_writing_to_a_loaded_image_changes_neither_cache_nor_others() -> None:
    load("digits", validation=0)
    images = load("digits", validation=0).train.images
    images.zero_()
    assert int(load("digits", validation=0).train.images.max()) == 255


def test_no_network_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.error import URLError

    from snn_nas.data._torchvision import torchvision_module

    utils = torchvision_module("torchvision.datasets.utils")

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no\nnetwork")

    monkeypatch.setattr(utils, "download_and_extract_archive", refuse)
    with pytest.raises(UserError, match=r"CIFAR-10 could not be downloaded to .* no network") as error:
        load("cifar10", root=root, download=True)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="N-MNIST has no download"):
        download(describe("nmnist"), root)
