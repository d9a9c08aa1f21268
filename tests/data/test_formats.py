from __future__ import annotations

import gzip
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neurons.errors import UserError
from snn_nas.data import SealedError, describe, load
from snn_nas.data.idx import read_idx
from snn_nas.data.unpickle import read_batch

from .formats import (
    idx_bytes,
    no_system_folders,
    one_line,
    publish,
    write_batches,
    write_fashion,
    write_images,
)

# IDX: Fashion-MNIST


@pytest.mark.parametrize("zipped", [True, False])
def test_fashion_mnist_from_idx_files(root: Path, alter: Any, zipped: bool) -> None:
    alter("fashion_mnist", counts=(30, 20))
    write_fashion(root, zipped=zipped)
    data = load("fashion_mnist", root=root, validation=10, purpose="train")
    assert data.train.images.shape == (20, 1, 28, 28)
    assert (data.train.images[:, 0, 0, 0] % 10 == data.train.labels).all()
    assert len(data.test.open("test")) == 20


def test_fashion_mnist_with_a_wrong_count(root: Path) -> None:
    write_fashion(root)
    with pytest.raises(UserError, match="holds 30 items where 60,000 are published"):
        load("fashion_mnist", root=root)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "cifar100", "cifar10_jpeg", "imagenet16_120", "nmnist"])
def test_missing_data_says_where_it_was_looked_for_and_what_belongs_there(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_system_folders(monkeypatch)
    monkeypatch.setenv("SNN_NAS_DATA", str(root))
    entry = describe(name)
    with pytest.raises(UserError) as error:
        load(name)
    message = one_line(error)
    assert str(root) in message
    assert entry.layout in message
    assert "SNN_NAS_DATA" in message
    assert (f"data.load('{name}', download=True)" in message) == entry.download


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


def test_idx_round_trip(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    assert (read_idx(tmp_path / "a", 3) == np.arange(24).reshape(2, 3, 4)).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (GOOD[:9], "no IDX file"),
        (b"\0\0\x0d" + GOOD[3:], "no IDX file"),
        (GOOD[:-1], "fewer bytes than the 24"),
        (GOOD + b"x", "more bytes than the 24"),
        (GOOD[:4] + b"\xff" * 12, "claims"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str, zipped: bool) -> None:
    path = tmp_path / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(UserError, match=message) as error:
        read_idx(path, 3)
    assert str(path) in one_line(error)


def test_cut_short_gzip(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    for damaged in (gzip.compress(GOOD)[:-9], b"not gzip at all", gzip.compress(GOOD)[:-8] + b"12345678"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"cannot be read|fewer bytes"):
            read_idx(path, 3)


# Pickled batches: CIFAR and ImageNet16


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_from_its_batches(root: Path, alter: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_batches(root, name, monkeypatch)
    files = 5 if name == "cifar10" else 1
    alter(name, counts=(20 * files, 20))
    data = load(name, root=root, validation=0, purpose="train")
    assert len(data.train) == 20 * files
    first = folder / ("data_batch_1" if name == "cifar10" else "train")
    batch = pickle.loads(first.read_bytes(), encoding="bytes")
    known = zip(map(bytes, batch[b"data"]), batch[b"labels" if name == "cifar10" else b"fine_labels"], strict=True)
    read = zip((image.numpy().tobytes() for image in data.train.images), data.train.labels.tolist(), strict=True)
    assert set(known) <= set(read)
    assert data.test.open("t").labels.tolist() == [i % 10 for i in range(20)]


def test_imagenet16_keeps_the_first_120_classes(root: Path, alter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_batches(root, "imagenet16_120", monkeypatch, side=16, labels=[1, 120, 121, 1000, 7])
    alter("imagenet16_120", counts=(30, 3))
    data = load("imagenet16_120", root=root, validation=0, purpose="train")
    assert data.train.images.shape == (30, 3, 16, 16)
    assert set(data.train.labels.tolist()) == {0, 119, 6}


def test_a_batch_with_another_checksum(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_batches(root, "cifar10", monkeypatch)
    content = bytearray((folder / "data_batch_3").read_bytes())
    content[-100] ^= 1
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(UserError, match="data_batch_3 is not the published file") as error:
        load("cifar10", root=root)
    one_line(error)


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_that_wants_to_run_code_does_not(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where its md5 is the expected one."""
    folder = write_batches(root, "cifar10", monkeypatch)
    content = pickle.dumps({b"data": Evil(root / "ran"), b"labels": [0]})
    (folder / "data_batch_1").write_bytes(content)
    publish("cifar10", {"data_batch_1": hashlib.md5(content).hexdigest()}, monkeypatch)
    with pytest.raises(UserError, match="not a batch of images: it asks for") as error:
        load("cifar10", root=root)
    one_line(error)
    assert not (root / "ran").exists()


ROWS = np.zeros((3, 12), dtype=np.uint8)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        pickle.dumps({"data": ROWS, "labels": [0, 1, 2]}, 2)[:-30],
        pickle.dumps([1, 2, 3]),
        pickle.dumps({"labels": [0]}),
        pickle.dumps({"data": ROWS, "labels": [0, 1]}, 2),
        pickle.dumps({"data": ROWS.astype(np.float32), "labels": [0, 1, 2]}, 2),
        pickle.dumps({"data": np.array([[{}]], dtype=object), "labels": [0]}, 2),
    ],
)
def test_damaged_batches(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a batch of images: .") as error:
        read_batch(path, "labels")
    one_line(error)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_batches_of_any_pickle_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "batch"
    rows = np.arange(24, dtype=np.uint8).reshape(2, 12) * 10
    path.write_bytes(pickle.dumps({"data": rows, "labels": [4, 5]}, protocol))
    data, labels = read_batch(path, "labels")
    assert (data == rows).all()
    assert labels.tolist() == [4, 5]


# Folders of images


def test_an_image_folder(root: Path) -> None:
    write_images(root / "train", ["cat", "ant"], 10)
    write_images(root / "test", ["ant"], 4)
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    name = f"imagefolder:{root}"
    assert (describe(name).shape, describe(name).class_names) == ((3, 6, 8), ("ant", "cat"))
    data = load(name, validation=0.2, purpose="train")
    assert (len(data.train), len(data.validation), data.classes) == (16, 4, 2)
    test = data.test.open("t")
    assert test.labels.tolist() == [0] * 4
    first = np.asarray(Image.open(root / "test" / "ant" / "000.png"))
    assert (test.images[0].permute(1, 2, 0).numpy() == first).all()
    (pixels, _), *_ = data.train.batches(100)
    assert torch.allclose(data.normalise(pixels).mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(data.normalise(pixels).std((0, 2, 3)), torch.ones(3), atol=1e-2)


def test_the_first_of_a_folder_are_of_every_class(root: Path) -> None:
    write_images(root / "train", ["a", "b", "c"], 40)
    for validation in (0, 30):
        data = load(f"imagefolder:{root}", validation=validation)
        for split in (data.train, data.validation):
            if len(split):
                assert len(set(split.first(20).labels.tolist())) == 3


def test_an_image_folder_at_another_size_in_grey_and_without_a_test_part(root: Path) -> None:
    write_images(root / "train", ["a", "b"], 5, size=(20, 12), mode="L")
    data = load(f"imagefolder:{root}@8", purpose="train")
    assert data.shape == (1, 8, 8)
    with pytest.raises(UserError, match="neither test/ nor val/"):
        data.test.open("t")
    with pytest.raises(SealedError):
        load(f"imagefolder:{root}@8").test.open("t")


def test_a_named_folder_set_lies_under_the_root(root: Path, alter: Any) -> None:
    classes = describe("cifar10_jpeg").class_names
    alter("cifar10_jpeg", counts=(20, 10))
    write_images(root / "cifar10_jpeg" / "train", classes, 2, size=(32, 32))
    write_images(root / "cifar10_jpeg" / "test", classes, 1, size=(32, 32))
    data = load("cifar10_jpeg", root=root, validation=0, purpose="train")
    assert data.title == "CIFAR-10 (JPEG-75)"
    assert len(data.test.open("t")) == 10
    with pytest.raises(UserError, match="CIFAR-10 is not there"):
        load("cifar10", root=root)


def test_imagenet_with_its_val_folder(root: Path, alter: Any) -> None:
    alter("imagenet", counts=(4, 2), classes=2, shape=(3, 16, 16))
    write_images(root / "imagenet" / "train", ["n01", "n02"], 2, size=(30, 20))
    write_images(root / "imagenet" / "val", ["n01", "n02"], 1, size=(17, 40))
    data = load("imagenet", root=root, validation=0, purpose="train")
    assert data.train.images.shape == (4, 3, 16, 16)
    assert data.test.open("t").labels.tolist() == [0, 1]


def test_folders_that_cannot_be_used(root: Path) -> None:
    with pytest.raises(UserError, match=r"no classes: looked in .*train"):
        describe(f"imagefolder:{root}")
    (root / "train" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match="no images: looked in"):
        describe(f"imagefolder:{root}")
    write_images(root / "train", ["b"], 3)
    with pytest.raises(UserError, match="a holds no images"):
        load(f"imagefolder:{root}")
    with pytest.raises(UserError, match="the size is 4 to 1024"):
        describe(f"imagefolder:{root}@2")
    (root / "train" / "a").rmdir()
    write_images(root / "test", ["other"], 1)
    with pytest.raises(UserError, match=r"does not hold the 1 classes of .*other"):
        load(f"imagefolder:{root}", purpose="train")
    whole = (root / "train" / "b" / "001.png").read_bytes()
    (root / "train" / "b" / "001.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"001\.png cannot be decoded") as error:
        load(f"imagefolder:{root}")
    one_line(error)
