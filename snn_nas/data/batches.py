"""CIFAR-10, CIFAR-100 and ImageNet16-120: rows of bytes in pickled batch files, each with a published md5."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurons.errors import UserError
from snn_nas.data.places import missing
from snn_nas.data.registry import Entry
from snn_nas.data.source import Arrays, Part, Source
from snn_nas.data.unpickle import read_batch


@dataclass(frozen=True, slots=True)
class Batches:
    """Where the files lie under the root, `{name: md5}` of each part, and how labels are stored.

    `first_label` is the number of the first class (ImageNet16 counts from 1); items of classes beyond the data set's
    are left out (ImageNet16-120 is the first 120 of 1,000).
    """

    folder: str
    train: dict[str, str]
    test: dict[str, str]
    label_key: str = "labels"
    first_label: int = 0


FORMATS = {
    "cifar10": Batches(
        "cifar-10-batches-py",
        {
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        {"test_batch": "40351d587109b95175f43aff81a1287e"},
    ),
    "cifar100": Batches(
        "cifar-100-python",
        {"train": "16019d7e3df5f24257cddd939b257f8d"},
        {"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        label_key="fine_labels",
    ),
    "imagenet16_120": Batches(
        "ImageNet16",
        {
            "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
            "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
            "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
            "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
            "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
            "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
            "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
            "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
            "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
            "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
        },
        {"val_data": "3410e3017fdaefba8d5073aaa65e4bd6"},
        first_label=1,
    ),
}


def batch_files(entry: Entry, root: Path, part: Part) -> Source:
    """The batch files of `entry` under `root`.

    Raises:
        UserError: one of them is not there.
    """
    layout = FORMATS[entry.name]
    checksums = layout.train if part == "train" else layout.test
    files = tuple(root / layout.folder / name for name in checksums)
    if not all(path.is_file() for path in files):
        raise missing(entry, [root / layout.folder])
    return Source(files, lambda: _decode(entry, layout, files, checksums))


def _decode(entry: Entry, layout: Batches, files: tuple[Path, ...], checksums: dict[str, str]) -> Arrays:
    images, labels = [], []
    for path in files:
        verify(path, checksums[path.name])
        data, raw = read_batch(path, layout.label_key)
        if data.shape[1] != np.prod(entry.shape):
            raise UserError(f"{path} holds images of {data.shape[1]} bytes, not of {entry.shape}")
        numbers = raw - layout.first_label
        ours = numbers < entry.classes
        images.append(data[ours].reshape(-1, *entry.shape))
        labels.append(numbers[ours])
    return Arrays(np.concatenate(images), np.concatenate(labels))


def verify(path: Path, md5: str) -> None:
    """Compare a file with its published md5.

    Raises:
        UserError: it is another file, or a damaged one.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5:
        raise UserError(f"{path} is not the published file (md5 {found}, published {md5}): delete it and get it again")
