"""A child takes over just the layers that are unchanged, with all that they have learned; the rest is drawn afresh."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from snn_nas.evaluation import EvaluationSettings, evaluate, fit
from snn_nas.export import weights
from snn_nas.genotype import Genotype, parse
from snn_nas.inheritance import Start, inherit
from snn_nas.network import Network, build

HEAD = "readout(grid=2)@delta~usf"
PARENT = parse(f"chain(T=2){{conv(c=4,down=avg)@stdp/lif; conv(c=4)@usf/plif; conv(c=4)@frsf/lif; {HEAD}}}")
NEURONS = "lif(threshold=0.5)"
ALIVE = parse(f"chain(T=2){{conv(c=16,down=avg)@local/{NEURONS}; conv(c=8)@local/{NEURONS}; readout@delta}}")
SETTINGS = EvaluationSettings.of({"data": "digits", "train": 400, "validation": 100, "epochs": 1, "batch_size": 32})


def network(genotype: Genotype, seed: int) -> Network:
    torch.manual_seed(seed)
    return build(genotype, (1, 8, 8), 10)


def learned(genotype: Genotype) -> Network:
    """A network whose every number has moved, as after a training."""
    made = network(genotype, 1)
    with torch.no_grad():
        for tensor in made.state_dict().values():
            tensor.add_(1)
    return made


def child(old: str, new: str) -> Genotype:
    text = str(PARENT)
    assert old in text
    return parse(text.replace(old, new))


CASES = {
    "nothing": (child("T=2", "T=4"), ["layer1", "layer2", "layer3", "readout"]),
    "rule": (child("@stdp/", "@frozen/"), ["layer2", "layer3", "readout"]),
    "setting": (child("@stdp/", "@stdp(tau=4.0)/"), ["layer2", "layer3", "readout"]),
    "transport": (child("@frsf/lif", "@fa/lif"), ["layer1", "layer2", "readout"]),
    "neurons": (child("@frsf/lif", "@frsf/if"), ["layer1", "layer2", "readout"]),
    "width": (child("conv(c=4)@frsf", "conv(c=6)@frsf"), ["layer1", "layer2"]),
}


@pytest.mark.parametrize("case", CASES)
def test_unchanged_layers_are_the_parents_and_all_others_are_fresh(case: str) -> None:
    genotype, names = CASES[case]
    parent, heir, fresh = learned(PARENT), network(genotype, 2), network(genotype, 2)
    before = torch.get_rng_state()
    assert sorted(inherit(heir, parent)) == names
    assert torch.equal(torch.get_rng_state(), before)
    theirs, afresh = parent.state_dict(), fresh.state_dict()
    for key, tensor in heir.state_dict().items():
        taken = key.removeprefix("layers.").partition(".")[0] in names
        assert torch.equal(tensor, theirs[key] if taken else afresh[key]), key
    assert all(not torch.equal(theirs[f"layers.{name}.synapse.weight"], afresh[f"layers.{name}.synapse.weight"])
               for name in names)  # fmt: skip


def test_statistics_thresholds_and_feedback_go_along() -> None:
    heir = network(CASES["nothing"][0], 2)
    inherit(heir, learned(PARENT))
    taken = {key.partition(".")[2].partition(".")[2] for key in heir.state_dict()}
    assert {"norm.running_mean", "norm.running_var"} <= taken
    kept = {name for layer in heir for m in (layer.transport, layer.rule) for name, _ in m.named_buffers()}
    assert kept  # feedback of frsf
    parent = learned(PARENT)
    for name in ("layer1", "layer2"):
        for key, tensor in heir.layers[name].state_dict().items():
            assert torch.equal(tensor, parent.layers[name].state_dict()[key]), (name, key)


def test_what_a_rule_keeps_for_other_classes_does_not_fit() -> None:
    genotype = parse(f"chain(T=2){{conv(c=4)@local/lif; conv(c=4)@dfa/lif; conv(c=4)@frozen/lif; {HEAD}}}")
    torch.manual_seed(2)
    assert inherit(build(genotype, (1, 8, 8), 4), learned(genotype)) == ["layer3"]


def test_a_trial_starts_from_a_file_and_says_so(tmp_path: Path) -> None:
    genotype = parse(str(ALIVE).replace("down=avg)@local/", "down=avg)@frozen/"))
    data = SETTINGS.load()
    file = tmp_path / "parent.safetensors"
    trained = fit(ALIVE, SETTINGS, data, 1)[0]
    weights.save(trained, file)
    seen: dict[str, torch.Tensor] = {}
    start = Start(file)

    def look(made: Network) -> None:
        start(made)
        seen.update({key: tensor.clone() for key, tensor in made.state_dict().items()})

    fit(genotype, SETTINGS, data, 2, start=look)
    assert torch.equal(seen["layers.layer2.synapse.weight"], trained.state_dict()["layers.layer2.synapse.weight"])
    from_file = EvaluationSettings.of({**_flat(), "start": str(file), "keep": str(tmp_path / "child.safetensors")})
    result, again = (evaluate(genotype, from_file, 2, data=data) for _ in range(2))
    assert result == again
    assert result.parent == start.parent == ALIVE.digest
    assert result.metrics["inherited"] == start.share == pytest.approx(1 - 144 / (144 + 16 * 8 * 9 + 8 * 16 * 10))
    kept = weights.load(tmp_path / "child.safetensors")
    assert kept.genotype == genotype
    assert evaluate(genotype, SETTINGS, 2, data=data) != result


@pytest.mark.parametrize("content", [None, b"no weights at all"])
def test_a_missing_or_damaged_file_is_a_fresh_start_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    file = tmp_path / "parent.safetensors"
    if content is not None:
        file.write_bytes(content)
    data = SETTINGS.load()
    with caplog.at_level("WARNING"):
        result = evaluate(ALIVE, EvaluationSettings.of({**_flat(), "start": str(file)}), 3, data=data)
    assert result == evaluate(ALIVE, SETTINGS, 3, data=data)
    assert "Trained from scratch" in caplog.text


def test_a_disk_without_room_costs_the_file_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone = EvaluationSettings.of({**_flat(), "keep": str(tmp_path / "no" / "folder.safetensors")})
    assert evaluate(ALIVE, gone, 3) == evaluate(ALIVE, SETTINGS, 3)
    assert "not kept" in caplog.text


def _flat() -> dict[str, object]:
    return {"data": "digits", "train": 400, "validation": 100, "epochs": 1, "batch_size": 32}
