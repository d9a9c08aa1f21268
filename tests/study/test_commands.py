"""The commands `study` and `robustness`: options stand above the file, slips are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from neurons.errors import UserError
from snn_nas.cli import cli
from snn_nas.cli.study import _listed
from tests import REPOSITORY

STUDIES = sorted((REPOSITORY / "experiments" / "studies").glob("*.yml"))
MIX = "chain(T=2){conv(c=4,down=avg)@local/lif(threshold=0.5); conv(c=4)@gradient/lif; readout@delta~usf}"


def run(*words: str) -> str:
    done = CliRunner().invoke(cli, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study"], "name a claim's YAML file, or give --genotype"),
        (["study", "no.yml"], "no.yml: No such file"),
        (["study", "--genotype", MIX, "--lr", "a,b"], "--lr takes numbers"),
        (["study", "--genotype", MIX, "--rules", "usf,sdtp"], "did you mean 'stdp'"),
        (["study", "--genotype", MIX, "--set", "epoch=3"], "did you mean 'epochs'"),
        (["study", "--genotype", MIX, "--set", "data=cifar11"], "did you mean"),
        (["robustness", "no.safetensors"], "cannot read no.safetensors"),
        (["robustness", "."], "holds no weights.safetensors"),
    ],
)
def test_slips_are_one_line(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        run(*words, "--out", "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


ONE, TWO = (f"chain(T=2){{conv(c={c},down=avg)@local/lif(threshold=0.5); readout@delta}}" for c in (4, 5))
TWIN = "chain(T=2){conv(c=4,down=avg)@bp/lif(threshold=0.5); readout@delta~exact}"
FEW = ("--data", "digits", "--train", "60", "--epochs", "1", "--device", "cpu")
QUICK = ("--images", "4", "--steps", "1", "--queries", "1", "--device", "cpu", "--eps", "0.1")


def test_a_folder_keeps_the_training_that_lies_in_it(tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "model"))
    run("train", ONE, *FEW, *out, "--test")
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    for other, named in ((("train", TWO, *FEW), "genotype"), (("train", ONE, *FEW, "--seed", "1"), "seed")):
        with pytest.raises(UserError, match=rf"another training \(other {named}\)"):
            run(*other, *out)
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == weights
    run("train", ONE, *FEW, *out)
    record = json.loads((tmp_path / "model" / "winner.json").read_text())
    assert len(record["conditions"]["test_opened"]) == 1, "a split that was opened stays so"


def test_robustness_is_of_the_network_that_is_there_now(tmp_path: Path) -> None:
    models = {name: tmp_path / name / "weights.safetensors" for name in ("one", "two", "twin")}
    for name, genotype in (("one", ONE), ("two", TWO), ("twin", TWIN)):
        run("train", genotype, *FEW, "--out", str(tmp_path / name))
    out = ("--out", str(tmp_path / "out"))
    run("robustness", str(models["one"]), *QUICK, *out)
    run("robustness", str(models["one"]), *QUICK, *out)
    for words in ([models["two"]], [models["one"], "--twin", models["twin"]]):
        with pytest.raises(UserError, match=r"another network, or twin, as network/0: give another --out"):
            run("robustness", *map(str, words), *QUICK, *out)
    with pytest.raises(UserError, match="is no bp twin of"):
        run("robustness", str(models["one"]), "--twin", str(models["two"]), *QUICK, "--out", str(tmp_path / "three"))
    run("robustness", str(models["one"]), "--twin", str(models["twin"]), *QUICK, "--out", str(tmp_path / "four"))


@pytest.mark.parametrize("eps", ["x", "0", "2", "1/0"])
def test_sizes_of_the_ball_lie_in_the_pixels_range(eps: str) -> None:
    from snn_nas.cli.robustness import _sizes

    with pytest.raises(UserError, match="--eps"):
        _sizes(eps)


def test_sizes_of_the_ball_are_fractions_of_decimals_too() -> None:
    from fractions import Fraction

    from snn_nas.cli.robustness import _sizes

    assert _sizes("2/255, 0.5/255,0.1") == (Fraction(1, 510), Fraction(2, 255), Fraction(1, 10))


def test_options_stand_above_the_file_and_a_rules_settings_hold_together(tmp_path: Path) -> None:
    claim = tmp_path / "claim.yml"
    claim.write_text(f"genotype: '{MIX}'\nseeds: 6\nrandom: 0\nsettings: {{ data: digits, epochs: 9, train: 60 }}\n")
    assert _listed("usf, stdp(a_minus=0.3,conscience=0.1),dfa") == ["usf", "stdp(a_minus=0.3,conscience=0.1)", "dfa"]
    words = ["--seeds", "2", "--rules", "local", "--lr", "1", "--threshold", "1", "--set", "epochs=1", "--no-test"]
    text = run("study", str(claim), *words, "--out", str(tmp_path / "out"))
    record = json.loads((tmp_path / "out" / "study.json").read_text())
    assert record["finished"]
    assert record["claim"]["seeds"] == 2
    assert record["claim"]["rules"] == ["local"]
    assert record["claim"]["settings"]["training"] == {"epochs": 1}
    assert record["claim"]["settings"]["train"] == 60
    assert record["measured_on"] == "validation"
    assert record["test_opened"] == []
    assert "opened 0 times" in text
    assert (tmp_path / "out" / "study.png").stat().st_size > 10_000
    assert len(list((tmp_path / "out" / "models").iterdir())) == 8


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_that_ship_are_sound(path: Path) -> None:
    from snn_nas.study.claim import claim, every_rule, read
    from snn_nas.study.contestants import contestants

    given = read(path)
    given.setdefault("genotype", MIX)
    asked = claim(given)
    assert {*asked.rules} == {*every_rule()}  # a claim that holds of all rules must meet them all
    assert len(contestants(asked)) == len(every_rule()) + len(asked.others) + 4  # mix, frozen, random, bp
