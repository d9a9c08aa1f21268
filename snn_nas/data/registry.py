"""The data sets by name: what they are, without loading torch or a single image."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurons.errors import UserError
from neurons.settings import nearest

Shape = tuple[int, int, int]
"""`(C, H, W)` of one image, or of one time step of a recording."""

FOLDER_PREFIX = "imagefolder:"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation per channel, in the `[0, 1]` pixel space."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random crop after padding by `pad` pixels, horizontal flip, and a square of side `cutout` set to zero."""

    pad: int = 0
    flip: bool = False
    cutout: int = 0

    def __bool__(self) -> bool:
        return bool(self.pad or self.flip or self.cutout)


@dataclass(frozen=True, slots=True)
class Entry:
    """One data set. `counts` are the published numbers of (training, test) items; `validation` is the default share
    of the training data that is held out; `events` says that an item is a recording of T steps and not an image.
    """

    name: str
    title: str
    shape: Shape
    classes: int
    licence: str
    summary: str
    layout: str
    class_names: tuple[str, ...] = ()
    counts: tuple[int, int] | None = None
    normalisation: Normalisation | None = None
    augmentation: Augmentation = Augmentation()
    validation: float = 0.1
    events: bool = False
    download: bool = False


DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
GESTURES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100 = tuple(_CIFAR100_NAMES.split())

_CIFAR10 = Entry(
    name="cifar10",
    title="CIFAR-10",
    shape=(3, 32, 32),
    classes=10,
    licence="none stated; research (Krizhevsky 2009)",
    summary="60,000 colour photographs of 10 kinds of object, 32x32",
    layout="cifar-10-batches-py/ (the published python batches: data_batch_1 to 5, test_batch)",
    class_names=CIFAR10,
    counts=(50_000, 10_000),
    normalisation=Normalisation((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    augmentation=Augmentation(pad=4, flip=True),
    download=True,
)

_NMNIST = Entry(
    name="nmnist",
    title="N-MNIST",
    shape=(2, 34, 34),
    classes=10,
    licence="CC BY-SA 4.0 (Orchard et al. 2015)",
    summary="70,000 event-camera recordings of handwritten digits, two polarities, 34x34",
    layout="NMNIST/Train/DIGIT/*.bin and NMNIST/Test/DIGIT/*.bin (the published archives, unpacked)",
    class_names=DIGITS,
    counts=(60_000, 10_000),
    normalisation=Normalisation((0.0, 0.0), (1.0, 1.0)),
    events=True,
)

ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="digits",
            title="Digits",
            shape=(1, 8, 8),
            classes=10,
            licence="BSD-3-Clause (ships inside scikit-learn)",
            summary="1,797 handwritten digits, 8x8, always there",
            layout="nothing: it ships inside scikit-learn",
            class_names=DIGITS,
            counts=(1_437, 360),
            normalisation=Normalisation((0.3053,), (0.3760,)),
            validation=0.2,
        ),
        Entry(
            name="fashion_mnist",
            title="Fashion-MNIST",
            shape=(1, 28, 28),
            classes=10,
            licence="MIT (Xiao et al. 2017)",
            summary="70,000 grey photographs of clothing, 28x28",
            layout="FashionMNIST/raw/ with the four IDX files, gzipped or not (on Debian: the package"
            " dataset-fashion-mnist)",
            class_names=FASHION,
            counts=(60_000, 10_000),
            normalisation=Normalisation((0.2860,), (0.3530,)),
            augmentation=Augmentation(pad=2, flip=True),
            download=True,
        ),
        _CIFAR10,
        replace(
            _CIFAR10,
            name="cifar10_jpeg",
            title="CIFAR-10 (JPEG-75)",
            summary="CIFAR-10 as lossy JPEG files: accuracies are not comparable with published ones",
            layout="cifar10_jpeg/train/CLASS/*.jpg and cifar10_jpeg/test/CLASS/*.jpg",
            download=False,
        ),
        replace(
            _CIFAR10,
            name="cifar100",
            title="CIFAR-100",
            classes=100,
            summary="60,000 colour photographs of 100 kinds of object, 32x32",
            layout="cifar-100-python/ (the published python batches: train, test)",
            class_names=CIFAR100,
            normalisation=Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        ),
        Entry(
            name="imagenet16_120",
            title="ImageNet16-120",
            shape=(3, 16, 16),
            classes=120,
            licence="ImageNet's terms: research and teaching (Chrabaszcz 2017; Dong & Yang 2020)",
            summary="157,700 photographs of the first 120 ImageNet classes, 16x16",
            layout="ImageNet16/ (the published batches: train_data_batch_1 to 10, val_data)",
            counts=(151_700, 6_000),
            normalisation=Normalisation((0.4811, 0.4575, 0.4079), (0.2479, 0.2402, 0.2553)),
            augmentation=Augmentation(pad=2, flip=True),
        ),
        Entry(
            name="imagenet",
            title="ImageNet (64x64)",
            shape=(3, 64, 64),
            classes=1000,
            licence="ImageNet's terms: research and teaching (Russakovsky et al. 2015)",
            summary="1,331,167 photographs of 1,000 kinds of object, scaled to 64x64",
            layout="imagenet/train/WNID/*.JPEG and imagenet/val/WNID/*.JPEG",
            counts=(1_281_167, 50_000),
            normalisation=Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            augmentation=Augmentation(pad=8, flip=True),
            validation=0.02,
        ),
        _NMNIST,
        replace(
            _NMNIST,
            name="nmnist_small",
            title="N-MNIST (1,000 recordings)",
            summary="1,100 recordings of N-MNIST: too few test recordings to rank models with",
            layout="NMNISTsmall/ with train1K.txt, test100.txt and the .bs2 recordings that they number",
            counts=(1_000, 100),
            validation=0.2,
        ),
        replace(
            _NMNIST,
            name="cifar10_dvs",
            title="CIFAR10-DVS",
            shape=(2, 128, 128),
            licence="CC BY 4.0 (Li et al. 2017)",
            summary="10,000 event-camera recordings of CIFAR-10 images, 128x128; the last 100 of a class are the test",
            layout="CIFAR10DVS/CLASS/cifar10_CLASS_NUMBER.aedat (the ten published archives, unpacked)",
            class_names=CIFAR10,
            counts=(9_000, 1_000),
            augmentation=Augmentation(pad=8, flip=True),
        ),
        replace(
            _NMNIST,
            name="dvs_gesture",
            title="DVS-Gesture",
            shape=(2, 128, 128),
            classes=11,
            licence="CC BY 4.0 (Amir et al. 2017)",
            summary="1,464 event-camera recordings of 11 hand and arm gestures, 128x128",
            layout="DvsGesture/ (the published archive, unpacked: user*.aedat, user*_labels.csv, trials_to_*.txt)",
            class_names=GESTURES,
            counts=(1_176, 288),
            validation=0.15,
        ),
    )
}


def names() -> tuple[str, ...]:
    """Every name that `describe` and `load` take; `imagefolder:PATH` stands for any folder of images."""
    return (*ENTRIES, f"{FOLDER_PREFIX}PATH")


def describe(name: str) -> Entry:
    """What is known of a data set before it is loaded. For `imagefolder:PATH` the folder is looked at.

    Raises:
        UserError: no data set has that name (the nearest one is named), or the folder holds no training images.
    """
    if name.startswith(FOLDER_PREFIX):
        from snn_nas.data.folder import describe_folder

        return describe_folder(name)
    if name not in ENTRIES:
        raise UserError(f"there is no data set {name!r}{nearest(name, names())}")
    return ENTRIES[name]
