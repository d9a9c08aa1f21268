"""An ImageFolder root: `train/CLASS/*.jpg` and, where there is one, `test/CLASS/*` (or `val/CLASS/*`).

The first training image decides size and colour of the whole set; `imagefolder:PATH@64` asks for another size. An
image of another size is scaled until its shorter side fits, and the middle is taken.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurons.errors import UserError
from snn_nas.data.places import missing
from snn_nas.data.registry import FOLDER_PREFIX, Augmentation, Entry, Shape
from snn_nas.data.source import Arrays, NoTestDataError, Part, Source

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
LARGEST_SIDE = 1024
_BLOCK = 64
_TEST_FOLDERS = ("test", "val")
_GREY = frozenset({"1", "L", "LA", "I;16"})


def describe_folder(name: str) -> Entry:
    """The entry of `imagefolder:PATH` or `imagefolder:PATH@SIZE`, from its folders and its first image.

    Raises:
        UserError: there is no PATH, it has no training images, or SIZE is out of range.
    """
    path, size = _parse(name)
    classes = class_folders(path / "train")
    channels, height, width = _first_shape(path / "train", classes)
    shape = (channels, size, size) if size else (channels, height, width)
    return Entry(
        name=name,
        title=path.name,
        shape=shape,
        classes=len(classes),
        class_names=classes,
        licence="whatever the folder's owner says",
        summary=f"images in {len(classes)} classes from a folder",
        layout="train/CLASS and test/CLASS",
        augmentation=Augmentation(pad=max(1, min(shape[1:]) // 8), flip=True),
    )


def class_folders(folder: Path) -> tuple[str, ...]:
    """The sorted names of the folders in `folder`: the classes.

    Raises:
        UserError: there are none.
    """
    found = sorted(e.name for e in os.scandir(folder) if e.is_dir()) if folder.is_dir() else []
    if not found:
        raise UserError(f"no classes: looked in {folder} for one folder of images per class")
    return tuple(found)


def image_folder(entry: Entry, root: Path, part: Part) -> Source:
    """The images of one part, either of `imagefolder:PATH` or of a named set that lies under `root` as a folder.

    Raises:
        UserError: no such folder, an unexpected class, or a class without images.
        NoTestDataError: a folder of the user's has no test images.
    """
    named = not entry.name.startswith(FOLDER_PREFIX)
    base = root / entry.name if named else _parse(entry.name)[0]
    places = [base / "train"] if part == "train" else [base / folder for folder in _TEST_FOLDERS]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise missing(entry, places) if named else NoTestDataError(f"{base} has neither test/ nor val/: no test images")
    names = entry.class_names or class_folders(base / "train")
    unknown = sorted(set(class_folders(folder)) - set(names))
    if unknown or len(names) != entry.classes:
        odd = f" and has {', '.join(unknown)}, which is none of them" if unknown else ""
        raise UserError(
            f"{folder} does not hold the {entry.classes} classes of {entry.title}, a folder each: "
            f"there are {len(names)}{odd}"
        )
    files: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        images = _images(folder / name)
        if not images and part == "train":
            raise UserError(f"{folder / name} holds no images")
        files += images
        labels += [label] * len(images)
    variant = f"{entry.shape} of {len(names)}"
    return Source(tuple(files), partial(_decode, files, labels, entry.shape), variant)


def _decode(files: Sequence[str], labels: Sequence[int], shape: Shape) -> Arrays:
    """Decode with a few threads (Pillow lets go of the interpreter while it decodes) and a progress bar."""
    import psutil

    needed, free = len(files) * int(np.prod(shape)), psutil.virtual_memory().available
    if needed > free:
        raise UserError(
            f"{len(files):,} images of {shape} need {needed / 2**30:.1f} GiB where {free / 2**30:.1f} are free:"
            " ask for smaller ones with imagefolder:PATH@SIZE"
        )
    images = np.empty((len(files), *shape), dtype=np.uint8)

    def fill(start: int) -> None:
        for row in range(start, min(start + _BLOCK, len(files))):
            images[row] = decode_image(files[row], shape)

    starts = range(0, len(files), _BLOCK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in _progress(pool.map(fill, starts), len(starts)):
            pass
    return Arrays(images, np.array(labels, dtype=np.int64))


def decode_image(path: Path | str, shape: Shape) -> NDArray[np.uint8]:
    """One image as `[C, H, W]`.

    Raises:
        UserError: it cannot be decoded.
    """
    from PIL import Image

    channels, height, width = shape
    try:
        with Image.open(path) as file:
            image = file.convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be decoded as an image: {error}") from error
    if image.size != (width, height):
        image = _fit(image, height, width)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _fit(image: Image, height: int, width: int) -> Image:
    """Scale so that the image just covers `height` x `width`, and take the middle."""
    from PIL import ImageOps

    return ImageOps.fit(image, (width, height))


def _parse(name: str) -> tuple[Path, int | None]:
    path, at, size = name.removeprefix(FOLDER_PREFIX).rpartition("@")
    if not at or not size.isdecimal():
        return Path(name.removeprefix(FOLDER_PREFIX)).expanduser(), None
    if not 4 <= int(size) <= LARGEST_SIDE:
        raise UserError(f"{name}: the size is 4 to {LARGEST_SIDE} pixels, not {size}")
    return Path(path).expanduser(), int(size)


def _images(folder: Path) -> list[str]:
    """The paths of the images in `folder`, sorted; as strings, for there may be a million."""
    if not folder.is_dir():
        return []
    found = sorted(e.name for e in os.scandir(folder) if e.is_file())
    return [f"{folder}{os.sep}{name}" for name in found if os.path.splitext(name)[1].lower() in SUFFIXES]  # noqa: PTH122


def _first_shape(folder: Path, classes: Sequence[str]) -> Shape:
    from PIL import Image

    first = next((image for name in classes for image in _images(folder / name)[:1]), None)
    if first is None:
        raise UserError(f"no images: looked in {folder}/*/ for {', '.join(sorted(SUFFIXES))}")
    try:
        with Image.open(first) as image:
            width, height = image.size
            channels = 1 if image.mode in _GREY else 3
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{first} cannot be decoded as an image: {error}") from error
    if max(width, height) > LARGEST_SIDE:
        raise UserError(f"{first} is {width}x{height}: say what size to use with {FOLDER_PREFIX}PATH@SIZE")
    return channels, height, width


def _progress(blocks: Iterable[None], total: int) -> Iterable[None]:
    """The same iterable, shown as a bar where somebody is watching and it takes a while."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    shown = console.is_terminal and total > 1_000 // _BLOCK
    return track(blocks, "decoding images", total, console=console, disable=not shown, transient=True)
