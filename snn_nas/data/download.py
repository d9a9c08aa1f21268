"""Fetches data sets through torchvision, which knows the addresses and checks the archives."""

from __future__ import annotations

from pathlib import Path

from neurons.errors import UserError
from snn_nas.data._torchvision import torchvision_module
from snn_nas.data.registry import Entry

_CIFAR = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}


def download(entry: Entry, root: Path) -> None:
    """Put the files of `entry` under `root`; what is there already is not fetched again.

    Raises:
        UserError: there is no known download, no network, or an archive arrives damaged.
    """
    if entry.name == "digits":
        return
    if not entry.download:
        raise UserError(f"{entry.title} has no download: put {entry.layout} under {root}")
    datasets = torchvision_module("torchvision.datasets")
    utils = torchvision_module("torchvision.datasets.utils")
    try:
        root.mkdir(parents=True, exist_ok=True)
        if entry.name in _CIFAR:
            # Not the class itself: its constructor would unpickle the batches.
            kind = getattr(datasets, _CIFAR[entry.name])
            if not (root / kind.base_folder).is_dir():
                utils.download_and_extract_archive(kind.url, str(root), filename=kind.filename, md5=kind.tgz_md5)
        else:
            datasets.FashionMNIST(str(root), download=True)
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors
        reason = " ".join(str(error).split())
        raise UserError(f"{entry.title} could not be downloaded to {root}: {reason}") from error
