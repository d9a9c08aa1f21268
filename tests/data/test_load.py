from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurons.errors import UserError
from snn_nas.data import SealedError, load

from .formats import no_system_folders, one_line, write_fashion

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def rows(images: torch.Tensor) -> list[bytes]:
    return [row.numpy().tobytes() for row in images]


@QUICK
@given(seed=st.integers(0, 1000), held=st.integers(0, 700), train=st.integers(1, 700))
def test_splits_are_disjoint_stratified_balanced_and_deterministic(seed: int, held: int, train: int) -> None:
    data = load("digits", train=train, validation=held, seed=seed)
    whole = load("digits", validation=0).train
    assert (len(data.train), len(data.validation)) == (train, held)
    assert not set(rows(data.train.images)) & set(rows(data.validation.images))
    per_class = torch.bincount(data.train.labels, minlength=10)
    assert per_class.max() - per_class.min() <= 1
    share = torch.bincount(whole.labels, minlength=10) * held / len(whole)
    assert ((torch.bincount(data.validation.labels, minlength=10) - share).abs() < 1).all()
    again = load("digits", train=train, validation=held, seed=seed)
    assert torch.equal(again.train.images, data.train.images)
    assert torch.equal(again.validation.images, data.validation.images)


def test_validation_does_not_depend_on_how_much_is_trained_on() -> None:
    few, many = load("digits", train=50, seed=3), load("digits", seed=3)
    assert torch.equal(few.validation.images, many.validation.images)
    assert not torch.equal(many.validation.images, load("digits", seed=4).validation.images)


def test_digits_are_whole_and_their_test_split_never_moves() -> None:
    data = load("digits", purpose="train", validation=0)
    test = data.test.open("a test")
    assert sorted(rows(torch.cat([data.train.images, test.images]))) == sorted(rows(load_everything()))
    assert torch.equal(test.images, load("digits", purpose="train", seed=9).test.open("a test").images)
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert int(data.train.images.max()) == 255


def load_everything() -> torch.Tensor:
    from sklearn.datasets import load_digits

    pixels = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(pixels[:, None])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train": 0}, "train is 1 to 1,150 items"),
        ({"train": 1151}, "train is 1 to 1,150 items"),
        ({"validation": 1437}, "validation is a count below 1,437"),
        ({"validation": 1.0}, "share below 1"),
        ({"validation": -0.1}, "share below 1"),
        ({"validation": True}, "share below 1"),
        ({"seed": -1}, "the seed is 0 or more"),
    ],
)
def test_a_split_that_cannot_be_had_is_one_line(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load("digits", **wrong)  # type: ignore[arg-type]
    one_line(error)


def test_a_search_cannot_open_the_test_split_and_does_not_hold_it() -> None:
    test = load("digits").test
    with pytest.raises(SealedError, match="a search never sees"):
        test.open("curiosity")
    assert test.openings == []
    assert test._read is None


def test_a_search_needs_no_test_files(root: Path, alter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    no_system_folders(monkeypatch)
    write_fashion(root, parts=("train",))
    alter("fashion_mnist", counts=(30, 20))
    assert len(load("fashion_mnist", root=root, validation=0).train) == 30
    with pytest.raises(UserError, match="Fashion-MNIST is not there"):
        load("fashion_mnist", root=root, purpose="train")


def test_the_test_split_is_sealed_until_opened_once() -> None:
    test = load("digits", purpose="train").test
    for touch in (
        lambda: test.images,
        lambda: test.labels,
        lambda: len(test),
        lambda: list(test),
        lambda: test.batches(8),
        lambda: test.to("cpu"),
    ):
        with pytest.raises(SealedError, match="sealed"):
            touch()
    with pytest.raises(SealedError, match="for what reason"):
        test.open("  ")
    opened = test.open("final accuracy")
    assert len(opened) == 360
    assert [opening.reason for opening in test.openings] == ["final accuracy"]
    assert test.openings[0].at.endswith("+00:00")
    with pytest.raises(SealedError, match=r"opened already, at .* for 'final accuracy'"):
        test.open("one more look")
    test.open("final accuracy")
    test.open("one more look", again=True)
    assert len(test.openings) == 3
    with pytest.raises(SealedError, match="sealed"):
        len(test)


def test_batches_are_pixels_in_the_unit_interval_and_cover_the_split_once() -> None:
    data = load("digits", train=100)
    batches = list(data.train.batches(32, torch.Generator().manual_seed(1)))
    assert [len(labels) for _, labels in batches] == [32, 32, 32, 4]
    images = torch.cat([images for images, _ in batches])
    assert images.dtype == torch.float32
    assert images.min() == 0
    assert images.max() == 1
    assert sorted(rows((images * 255).round().byte())) == sorted(rows(data.train.images))
    again = torch.cat([images for images, _ in data.train.batches(32, torch.Generator().manual_seed(1))])
    assert torch.equal(images, again)
    in_order = torch.cat([labels for _, labels in data.train.batches(7)])
    assert torch.equal(in_order, data.train.labels)
    assert sum(len(labels) for _, labels in data.train.batches(32, drop_last=True)) == 96


def test_batches_refuse_what_makes_no_sense_at_once() -> None:
    data = load("digits", train=20)
    with pytest.raises(ValueError, match="at least 1"):
        data.train.batches(0)
    from snn_nas.data import Augmentation

    with pytest.raises(ValueError, match="generator"):
        data.train.batches(4, augment=Augmentation(pad=1))


def test_the_stored_normalisation_is_that_of_the_data() -> None:
    data = load("digits", validation=0)
    (images, _), *_ = data.train.batches(2000)
    normal = data.normalise(images)
    assert abs(float(normal.mean())) < 0.01
    assert abs(float(normal.std()) - 1) < 0.01
    assert data.normalise is not data.normalise
    assert data.normalise(images[None]).shape == (1, *images.shape)
