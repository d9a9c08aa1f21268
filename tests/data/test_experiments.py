"""ImageNet and ImageNet16-120 as their experiments use them, on tiny files in the published formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snn_nas.cli.configuration import read
from snn_nas.conclusion import conclude, prepare
from snn_nas.evaluation import evaluate
from snn_nas.genotype import parse
from tests import REPOSITORY
from tests.data.formats import write_batches, write_images

EXPERIMENTS = REPOSITORY / "experiments"
CLASSES = [f"n{number:08}" for number in range(4)]


LIF = "lif(reset=hard,threshold=0.5)"
SMALL = {
    "imagenet16_120": f"nb201(T=2,cells=1,channels=16,stages=3) stem{{ conv@local/{LIF} }} "
    f"cell{{ conv3@frsf/{LIF}[0>1]; skip[0>3]; avg[1>3] }} reduce{{ conv@usf/{LIF} }} "
    "readout{ readout(grid=1)@delta~usf }",
    "imagenet": f"chain(T=2) {{ conv(c=64,down=stride)@local/{LIF}; conv(c=64,down=stride)@frsf/{LIF}; "
    + f"conv(c=64,down=avg)@frsf/{LIF}; " * 3
    + "readout@delta~usf }",
}


def trial(name: str, root: Path, tmp_path: Path) -> dict[str, Any]:
    """One trial of the experiment on what lies under `root`, then its final training with the test split."""
    asked = read(EXPERIMENTS / f"{name}.yml")
    kept = {"epochs": 1, "batch_size": 8, "augment": asked.settings.training["augment"]}
    settings = replace(asked.settings, root=str(root), train=None, validation=0.25, training=kept, energy_images=4)
    genotype = asked.space.canonical(parse(SMALL[name]))
    assert asked.space.contains(genotype)
    data = prepare(genotype, settings)
    assert data.augmentation.flip
    assert evaluate(genotype, settings, 0, data=data).status in ("ok", "dead")  # four images a class: chance will do
    return conclude(genotype, settings, tmp_path / "model", data, seed=0, twin=False)


def test_imagenet16_120(root: Path, tmp_path: Path, alter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alter("imagenet16_120", counts=(40, 4))
    write_batches(root, "imagenet16_120", monkeypatch, side=16, labels=[1, 60, 120, 3, 121])
    record = trial("imagenet16_120", root, tmp_path)
    assert record["data_title"] == "ImageNet16-120"
    assert record["shape"] == [3, 16, 16]
    assert record["classes"] == 120
    assert record["genotype"].startswith("nb201")
    assert len(record["conditions"]["test_opened"]) == 1


def test_imagenet(root: Path, tmp_path: Path, alter: Any) -> None:
    alter("imagenet", counts=(16, 4), classes=4)
    write_images(root / "imagenet" / "train", CLASSES, 4, size=(90, 70))
    write_images(root / "imagenet" / "val", CLASSES, 1, size=(64, 80))
    record = trial("imagenet", root, tmp_path)
    assert record["shape"] == [3, 64, 64]
    assert record["conditions"]["train"] == 12
    assert record["conditions"]["validation"] == 4
    assert len(record["conditions"]["test_opened"]) == 1


@pytest.mark.parametrize("name", ["imagenet16_120", "imagenet"])
def test_missing_files_are_one_line_before_anything_starts(name: str, root: Path) -> None:
    from neurons.errors import UserError

    asked = read(EXPERIMENTS / f"{name}.yml")
    with pytest.raises(UserError, match=str(root)) as error:
        replace(asked.settings, root=str(root)).load()
    assert "\n" not in str(error.value)
