"""A trial ends typed, is reproducible, and never sees the test split."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from neurons.errors import UserError
from snn_nas import data as data_sets
from snn_nas.conclusion import choose, conclude, prepare
from snn_nas.controls import bp_twin, rule, single_rule
from snn_nas.credit import check
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.export.weights import load
from snn_nas.genotype import parse
from snn_nas.search.result import Result
from snn_nas.spaces import canonical, graph
from snn_nas.training import predict

GOOD = parse("chain(T=2){conv(c=16,down=avg)@local/lif(reset=hard,threshold=0.5); readout@delta}")
SETTINGS = EvaluationSettings.of({"data": "digits", "train": 400, "epochs": 2, "batch_size": 32, "energy_images": 40})


def test_a_trial_measures_everything_that_is_an_objective() -> None:
    seen: list[int] = []
    result = evaluate(GOOD, SETTINGS, 1, lambda number, metrics: seen.append(number) or None)  # type: ignore[func-returns-value]
    assert seen == [1, 2]
    assert result.status == "ok"
    assert result.epochs == 2
    assert set(result.metrics) >= {
        "accuracy", "energy_uJ", "learning_energy_uJ", "synops", "parameters", "T", "latency_steps", "locality",
        "mean_rate",
    }  # fmt: skip
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert result.metrics["locality"] == 1.0
    assert result.metrics["latency_steps"] == 2 + 2 - 1


def test_same_seed_same_metrics_bit_for_bit_and_another_seed_others() -> None:
    first, second, other = (evaluate(GOOD, SETTINGS, seed) for seed in (5, 5, 6))
    assert first == second
    assert first.metrics != other.metrics


def test_a_silent_network_is_dead_after_one_epoch_and_says_which_layer() -> None:
    silent = parse("chain(T=2){conv(c=8)@local/lif(threshold=900.0); readout@delta}")
    epochs: list[int] = []
    result = evaluate(silent, SETTINGS, 0, lambda number, metrics: epochs.append(number))
    assert result.status == "dead"
    assert "layer1 is silent" in result.reason
    assert epochs == [1]
    assert not result.metrics


def test_a_network_that_blows_up_has_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    from snn_nas import training

    monkeypatch.setattr(training, "learn", lambda *_: torch.tensor(float("nan")))
    result = evaluate(GOOD, SETTINGS, 0)
    assert result.status == "diverged"
    assert "epoch 1" in result.reason


def test_a_trial_cannot_open_the_test_split() -> None:
    data = SETTINGS.load()
    with pytest.raises(data_sets.SealedError):
        data.test.open("just looking")
    with pytest.raises(data_sets.SealedError):
        _ = data.test.images


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, "no setting 'epoch'; did you mean 'epochs'"),
        ({"epochs": 0}, "epochs is at least 1, not 0"),
        ({"epochs": 2.5}, "epochs takes a value of type int"),
        ({"data": "mnisty"}, "mnisty"),
        ({"profile": "45nm"}, "45nm"),
        ({"device": "tpu"}, "device is auto, cpu or cuda"),
        ({"backend": "fussed"}, "did you mean 'fused'"),
        ({"train": 0}, "train is a whole number"),
        ({"data": "digits", "cutout": 8}, "cutout=8 would blank images whose shorter side has 8 pixels"),
    ],
)
def test_wrong_settings_are_one_line(given: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        EvaluationSettings.of(given)
    assert message in str(error.value)


def test_the_winner_is_the_most_accurate_and_of_equals_the_cheapest() -> None:
    def result(accuracy: float, energy: float, status: str = "ok") -> Result:
        text = f"{accuracy}/{energy}"
        return Result(text, text, status, {"accuracy": accuracy, "energy_uJ": energy})  # type: ignore[arg-type]

    results = [result(0.9, 1.0), result(0.95, 3.0), result(0.95, 2.0), result(0.99, 1.0, "failed")]
    assert choose(results).genotype == "0.95/2.0"
    with pytest.raises(UserError, match="no trial ended well"):
        choose(results[3:])


def test_the_twin_has_the_same_weights_and_nothing_but_bp() -> None:
    text = "chain(T=2){conv(c=8)@frozen/lif; sepconv(c=8,skip=1)@stdp/lif; conv(c=4)@frsf/if; readout@delta~usf}"
    genotype = parse(text)
    twin = bp_twin(genotype)
    credit = check(graph(twin, (1, 8, 8), 10))
    assert credit.graph.weights == graph(genotype, (1, 8, 8), 10).weights
    assert {share for name, share in credit.share.items() if name != "readout"} == {"bp"}
    one = single_rule(genotype, rule("local"))
    assert check(graph(one, (1, 8, 8), 10)).locality == 1.0
    assert canonical(one, (1, 8, 8), 10) == canonical(single_rule(twin, rule("local")), (1, 8, 8), 10)


def test_the_conclusion_trains_exports_and_opens_the_test_split_once(tmp_path: Path) -> None:
    record = conclude(GOOD, SETTINGS, tmp_path, prepare(GOOD, SETTINGS), seed=3)
    assert {path.name for path in tmp_path.iterdir()} == {
        "winner.json", "genotype.txt", "weights.safetensors", "network.nir", "activity.json", "activity.csv",
    }  # fmt: skip
    assert len(record["conditions"]["test_opened"]) == 1
    assert record["conditions"]["backends"] in (["fused"], ["torch"])  # what ran, where `auto` was asked for
    assert record["twin"]["parameters"] == record["metrics"]["parameters"]
    assert sum(layer["weights"] for layer in record["layers"]) <= record["metrics"]["parameters"]
    assert sum(layer["energy_pJ"] for layer in record["layers"]) <= record["metrics"]["energy_uJ"] * 1e6 * (1 + 1e-9)
    # What was saved is what was measured: the file alone gives the same predictions.
    data = SETTINGS.load(GOOD, "train")
    network = load(tmp_path / "weights.safetensors")
    test = data.test.open("a test of the saved file")
    share = float((predict(network, test) == test.labels).float().mean())
    assert share == pytest.approx(record["metrics"]["test_accuracy"])
