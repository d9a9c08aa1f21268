"""The whole measurement, its sanity checks, its record, and the cheap form for searches."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from neurons.errors import UserError
from snn_nas.cli import cli
from snn_nas.cli.configuration import read
from snn_nas.data import Split, load
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.export import weights
from snn_nas.genotype import parse
from snn_nas.robustness import measure as measures
from snn_nas.robustness.attacks import ATTACKS, Effort, right
from snn_nas.robustness.cheap import EPS, cheap, pgd
from snn_nas.robustness.checks import checks
from snn_nas.robustness.measure import Plan, measure
from snn_nas.robustness.record import summarise
from snn_nas.robustness.subjects import of_study
from snn_nas.robustness.substitute import Substitute
from snn_nas.search.journal import Journal
from tests import REPOSITORY
from tests.robustness.conftest import network

PLAN = Plan(eps=(Fraction(1, 50), Fraction(1, 5)), effort=Effort(steps=5, queries=10))


def test_a_networks_record(images: Tensor) -> None:
    model, twin = network("local", "frsf"), network("gradient", "bp")
    labels = Substitute(model)(images).argmax(1)
    labels[0] = (labels[0] + 1) % 3  # one is wrong from the start
    steps: list[str] = []
    found = measure(model, images, labels, PLAN, twin=twin, on_step=steps.append)
    assert len(steps) == PLAN.steps(transfer=True)
    assert found["accuracy"] == 7 / 8
    assert list(found["attacks"]) == ["1/50", "1/5"]
    for row in found["attacks"].values():
        assert set(row) == {*ATTACKS, "worst", "transfer"}
        assert all(0.0 <= value <= found["accuracy"] for value in row.values())  # a wrong image stays wrong
        assert row["worst"] <= min(row[name] for name in ATTACKS)
    assert found["attacks"]["1/5"]["worst"] < found["attacks"]["1/50"]["worst"]
    assert json.loads(json.dumps(found)) == found
    assert "transfer" not in measure(model, images, labels, PLAN)["attacks"]["1/50"]


def test_an_image_counts_as_broken_if_any_sharpness_breaks_it(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("local", "frsf")
    labels = Substitute(model)(images).argmax(1)
    black = torch.zeros_like(images)

    def fake(name: str, of: Substitute, pixels: Tensor, theirs: Tensor, eps: float, effort: Effort) -> Tensor:
        """The first sharpness spoils the first half of the images, the second the other."""
        sharp = next(layer for layer in of.network).population.dynamics.surrogate.sharpness > 1.0  # type: ignore[union-attr]
        half = torch.arange(len(pixels)) < len(pixels) // 2
        return torch.where((half ^ sharp)[:, None, None, None], black, pixels)

    monkeypatch.setattr(measures, "attack", fake)
    found = measure(model, images, labels, PLAN)
    spoiled = right(Substitute(model), black, labels)
    assert not spoiled.all()
    assert found["attacks"]["1/5"]["pgd"] == float(spoiled.double().mean())
    assert found["attacks"]["1/5"]["square"] > found["attacks"]["1/5"]["pgd"]  # it has no gradient to sharpen


def test_an_image_that_was_wrong_is_not_mended_by_an_attack(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network("local", "frsf")
    seen = Substitute(model)(images).argmax(1)
    other = int((seen != seen[0]).nonzero()[0])
    labels = seen.clone()
    labels[0] = seen[other]  # wrong as it is; moved onto the other, it would be right

    def fake(name: str, of: Substitute, pixels: Tensor, theirs: Tensor, eps: float, effort: Effort) -> Tensor:
        return torch.cat([pixels[other : other + 1], pixels[1:]])

    monkeypatch.setattr(measures, "attack", fake)
    found = measure(model, images, labels, PLAN, twin=model)
    assert set(found["attacks"]["1/5"].values()) == {7 / 8}


def sound() -> dict[str, Any]:
    small = {"fgsm": 0.6, "pgd": 0.5, "apgd": 0.4, "square": 0.55, "worst": 0.4, "transfer": 0.7}
    large = {"fgsm": 0.4, "pgd": 0.2, "apgd": 0.1, "square": 0.3, "worst": 0.1, "transfer": 0.5}
    return {"images": 1000, "attacks": {"2/255": small, "8/255": large}, "eps_1": 0.0, "live_gradients": 1.0}


def failing(record: dict[str, Any]) -> list[str]:
    return [check.name for check in checks(record) if not check.holds]


@pytest.mark.parametrize(
    ("key", "value", "name"),
    [
        ("live_gradients", 0.8, "gradients are alive"),
        ("eps_1", 0.1, "eps = 1 reaches about 0"),
        ("pgd", 0.62, "pgd is never weaker than fgsm"),
        ("apgd", 0.52, "apgd is never weaker than pgd"),
        ("square", 0.38, "square, which sees no gradient of this network, is not stronger than those that do"),
        ("transfer", 0.38, "transfer, which sees no gradient of this network, is not stronger than those that do"),
    ],
)
def test_each_check_finds_its_fault(key: str, value: float, name: str) -> None:
    assert failing(sound()) == []
    record = sound()
    if key in record:
        record[key] = value
    else:
        record["attacks"]["2/255"][key] = value
    assert name in failing(record)
    assert failing({**record, "images": 5}) == [] or key in record  # of five images, two are 40 %


def test_a_larger_ball_must_not_be_weaker() -> None:
    record = sound()
    record["attacks"]["8/255"]["square"] = 0.58
    assert failing(record) == ["a larger eps is never weaker"]


def saved(path: Path, first: str, second: str) -> Path:
    """A network of the digits' shape, untrained."""
    from snn_nas.network import build

    torch.manual_seed(0)
    text = f"chain(T=2){{conv(c=4,down=avg)@{first}/lif(threshold=0.5); conv(c=4)@{second}/lif; readout@delta~usf}}"
    built = build(parse(text), (1, 8, 8), 10, normalise=load("digits").normalise)
    path.parent.mkdir(parents=True, exist_ok=True)
    weights.save(built, path, dataset="digits")
    return path


def studied(folder: Path, *, diverged: str = "") -> Path:
    """A finished study of two contestants and two seeds, its test split shut; one run may have `diverged`."""
    journal = Journal(folder / "journal.jsonl")
    journal.append({"study": {}})
    for seed in (0, 1):
        for group, rules in (("mix", ("gradient", "frsf")), ("bp", ("gradient", "bp"))):
            record = {"key": f"final/{group}/{seed}", "phase": "final", "contestant": group, "seed": seed}
            if f"{group}/{seed}" == diverged:
                journal.append({**record, "status": "diverged"})
                continue
            model = f"models/{group}-{seed}.safetensors"
            saved(folder / model, *rules)
            journal.append({**record, "status": "ok", "model": model})
    (folder / "study.json").write_text('{"finished": true}')
    return folder


LITTLE = ["--images", "12", "--eps", "0.1", "--steps", "2", "--queries", "3"]


def test_the_command_measures_a_study_resumes_and_writes_its_files(tmp_path: Path) -> None:
    words = ["robustness", str(studied(tmp_path)), *LITTLE]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    folder = tmp_path / "robustness"
    record = json.loads((folder / "robustness.json").read_text())
    assert set(record["groups"]) == {"mix", "bp"}
    assert {each["measured"] for each in record["comparisons"]} >= {"accuracy", "worst at 1/10", "corrupted"}
    assert all(each["significant"] is None for each in record["comparisons"])
    assert [row["key"] for row in record["networks"]] == ["mix/0", "bp/0", "mix/1", "bp/1"]
    assert (folder / "robustness.png").stat().st_size > 10_000
    assert "| worst at 1/10 |" in (folder / "robustness.md").read_text()

    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:30])  # killed while it wrote
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    assert (folder / "journal.jsonl").read_bytes() == b"".join(lines)
    with pytest.raises(UserError, match="another plan"):
        CliRunner().invoke(cli, [*words, "--steps", "3"], catch_exceptions=False)
    with pytest.raises(UserError, match=r"no final runs of 'dfa'; it has mix, bp"):
        of_study(tmp_path, ["dfa"])
    assert record["ran_at"]["device"] == [record["conditions"]["device"]]
    assert record["test_opened"] == record["diverged"] == []


def test_a_folder_that_train_wrote_is_the_network_within(tmp_path: Path) -> None:
    """As `evaluate` takes it."""
    saved(tmp_path / "model" / "weights.safetensors", "gradient", "frsf")
    (tmp_path / "model" / "winner.json").write_text('{"conditions": {"seed": 7}}')
    words = ["robustness", str(tmp_path / "model"), *LITTLE, "--data", "digits"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0
    record = json.loads((tmp_path / "model" / "robustness" / "robustness.json").read_text())
    assert [row["key"] for row in record["networks"]] == ["network/7"]


def test_fewer_images_than_were_asked_for_are_said_to_be(tmp_path: Path) -> None:
    saved(tmp_path / "weights.safetensors", "gradient", "frsf")
    journal = Journal(tmp_path / "robustness" / "journal.jsonl")
    done = CliRunner().invoke(cli, ["robustness", str(tmp_path), *LITTLE, "--images", "100000", "--steps", "1"])
    there = len(load("digits").validation)
    assert f"has {there:,} validation images here: all of them are taken" in done.output
    assert journal.read()[0]["robustness"]["images"] == there


def test_an_unfinished_study_is_refused(tmp_path: Path) -> None:
    studied(tmp_path)
    with pytest.raises(UserError, match="leave out --twin"):
        CliRunner().invoke(cli, ["robustness", str(tmp_path), "--twin", "x", *LITTLE], catch_exceptions=False)
    for damaged in ('{"finished": false}', '{"finished": tr', "{}"):
        (tmp_path / "study.json").write_text(damaged)
        with pytest.raises(UserError, match="is unfinished: run its command again"):
            CliRunner().invoke(cli, ["robustness", str(tmp_path), *LITTLE], catch_exceptions=False)
    (tmp_path / "study.json").unlink()  # killed before it wrote its first record
    with pytest.raises(UserError, match="is unfinished"):
        of_study(tmp_path, ["mix"])


def test_a_run_that_diverged_is_named_and_counts_as_nothing(tmp_path: Path) -> None:
    studied(tmp_path, diverged="mix/1")
    done = CliRunner().invoke(cli, ["robustness", str(tmp_path), *LITTLE], catch_exceptions=False)
    assert done.exit_code == 0
    record = json.loads((tmp_path / "robustness" / "robustness.json").read_text())
    assert record["diverged"] == ["mix, seed 1"]
    assert "counted as 0 everywhere: mix, seed 1." in done.output
    rows = {row["key"]: row for row in record["networks"]}
    assert set(rows["mix/1"]["attacks"]["1/10"]) == set(rows["mix/0"]["attacks"]["1/10"])  # transfer among them
    for name, number in record["groups"]["mix"]["numbers"].items():
        whole = {"accuracy": rows["mix/0"]["accuracy"], "corrupted": rows["mix/0"]["corrupted"]}
        whole |= {f"{attack} at 1/10": value for attack, value in rows["mix/0"]["attacks"]["1/10"].items()}
        assert number == {"mean": pytest.approx(whole[name] / 2), "deviation": number["deviation"], "runs": 2}
    assert record["groups"]["mix"]["genotype"] == rows["mix/0"]["genotype"]


def test_the_test_split_waits_for_the_studys_own_opening_and_is_written_down(tmp_path: Path) -> None:
    studied(tmp_path)
    words = ["robustness", str(tmp_path), "--of", "bp", "--split", "test", *LITTLE]
    journal = Journal(tmp_path / "journal.jsonl")
    *measured, last = [record["key"] for record in journal.read() if record.get("phase") == "final"]
    journal.append({"test": dict.fromkeys(measured, 0.1)})
    with pytest.raises(UserError, match="has not opened its test split yet"):
        CliRunner().invoke(cli, words, catch_exceptions=False)
    assert not (tmp_path / "robustness").exists()
    journal.append({"test": {last: 0.1}})
    assert CliRunner().invoke(cli, words, catch_exceptions=False).exit_code == 0
    record = json.loads((tmp_path / "robustness" / "robustness.json").read_text())
    assert [each["reason"] for each in record["test_opened"]] == ["robustness of final networks"]
    assert "The test split was opened at" in (tmp_path / "robustness" / "robustness.md").read_text()


def test_the_cheap_form(images: Tensor) -> None:
    model = network("local", "frsf")
    split = Split((images * 255).byte(), Substitute(model)((images * 255).byte() / 255).argmax(1))
    assert cheap(model, split, "noise", 8) >= cheap(model, split, "pgd", 8)
    moved = pgd(Substitute(model), images, split.labels)
    assert 0 < (moved - images).abs().max() <= EPS + 1e-6
    assert 0.0 <= moved.min() <= moved.max() <= 1.0
    with pytest.raises(UserError, match="still images"):
        cheap(model, Split(split.images, split.labels, 1.0), "noise", 8)


@pytest.mark.parametrize("how", ["noise", "pgd"])
def test_a_trial_measures_it_and_stays_reproducible(how: str) -> None:
    given = {"data": "digits", "train": 300, "epochs": 2, "batch_size": 32, "energy_images": 20}
    settings = EvaluationSettings.of({**given, "robustness": how, "robustness_images": 50})
    good = parse("chain(T=2){conv(c=16,down=avg)@local/lif(threshold=0.5); readout@delta}")
    result = evaluate(good, settings, 1)
    assert result.status == "ok"
    assert 0.0 < result.metrics["robustness"] <= 1.0
    plain = evaluate(good, EvaluationSettings.of(given), 1)
    assert {k: v for k, v in result.metrics.items() if k != "robustness"} == plain.metrics
    with pytest.raises(UserError, match="robustness is none, noise, pgd"):
        EvaluationSettings.of({"robustness": "fgsm"})


def test_an_objective_that_no_trial_measures_is_refused(tmp_path: Path) -> None:
    experiments = REPOSITORY / "experiments"
    text = (
        (experiments / "quickstart.yml")
        .read_text()
        .replace("quickstart.space.json", str(experiments / "quickstart.space.json"))
    )
    config = tmp_path / "q.yml"
    config.write_text(text.replace("front: [accuracy, energy_uJ]", "front: [accuracy, robustness]"))
    with pytest.raises(UserError, match="no trial measures it; add robustness=noise"):
        read(config)
    assert read(config, words=["robustness=pgd"]).settings.robustness == "pgd"


def test_what_counts_is_corrected_by_itself() -> None:
    def row(group: str, seed: int, level: float) -> dict[str, Any]:
        attacks = {"1/50": dict.fromkeys((*ATTACKS, "worst"), level)}
        same = {"accuracy": 0.9, "attacks": attacks, "corrupted": level, "corruptions": {"jpeg": [level] * 5}}
        return {"group": group, "seed": seed, "genotype": "g", "checks": [], **same}

    rows = [row("mix", k, 0.6 + k / 100) for k in range(6)] + [row("bp", k, 0.2 + k / 100) for k in range(6)]
    found = {each["measured"]: each for each in summarise(rows, {})["comparisons"]}
    assert found["worst at 1/50"]["p_holm"] == pytest.approx(2 * found["worst at 1/50"]["p"])  # and corruptions
    assert found["worst at 1/50"]["verdict"] == "higher"
    assert found["apgd at 1/50"]["p_holm"] == pytest.approx(5 * found["apgd at 1/50"]["p"])  # four attacks, and clean
