"""Profiles: every shipped one behind the contract, and files that are none."""

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from neurons.errors import UserError
from snn_nas import energy
from snn_nas.cli import cli
from snn_nas.energy.profile import DEFAULT, Profile, from_mapping, profile, profiles
from tests.contracts.profile import ProfileContract

GOOD = {
    "name": "mine",
    "title": "my board",
    "node": "28 nm",
    "precision": "int8",
    "source": "measured here",
    "kind": "measured",
}

for _name in profiles():
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (ProfileContract,), {"name": _name})


def test_what_the_project_promises_is_shipped() -> None:
    promised = (
        "45nm_fp32 45nm_fp16 45nm_int32 45nm_int8 lemaire loihi loihi2 truenorth truenorth_merolla2014 spinnaker "
        "spinnaker2 odin reckon ubrain neuronflow seneca tianjic"
    )
    assert set(promised.split()) == set(profiles())
    assert DEFAULT in profiles()
    assert (profile("45nm_fp32").e_mac, profile("45nm_fp32").e_ac) == (4.6, 0.9)
    assert not profile("loihi2").known


def test_memory_is_linear_between_the_points() -> None:
    p = profile("lemaire")
    assert p.access(8192 / 4) == 10
    assert p.access(32768 / 4) == 20
    assert p.access(20480 / 4) == 15
    assert p.access(1048576 / 4) == 100
    assert p.access(1024) == 5


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump({**GOOD, "e_synop": 3.0}))
    assert profile(path).e_synop == 3.0
    assert profile(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"e_sinop": 1.0}, "unknown key 'e_sinop'; did you mean 'e_synop'"),
        ({"e_mac": -1}, "e_mac"),
        ({"e_mac": "much"}, "e_mac"),
        ({"kind": "guessed"}, "kind"),
        ({"source": ""}, "source"),
        ({"memory": [[0, 0], [0, 1]]}, "must grow"),
        ({"memory": [[0, 0, 0], [1, 1, 1]]}, "memory"),
        ({"name": "../etc"}, "name"),
        ({"e_mac": 2.0}, "e_mac and e_ac belong together"),
        ({"e_mac": 1.0, "e_ac": 2.0}, "cannot be less"),
        ({"e_mac": 2.0, "e_ac": 1.0, "e_synop": 3.0}, "one kind"),
        ({"e_synop": 3.0, "memory": [[0, 0], [8, 1]]}, "memory already"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        from_mapping({**GOOD, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, [], 3, {}])
def test_a_file_that_is_no_mapping(content: object) -> None:
    with pytest.raises(UserError):
        from_mapping(content)


def test_the_schema_is_published_and_describes_every_key() -> None:
    done = CliRunner().invoke(cli, ["energy", "--schema"], standalone_mode=False)
    told = json.loads(done.output)
    jsonschema.Draft202012Validator.check_schema(told)
    assert set(told["properties"]) == {field.name for field in dataclasses.fields(Profile)}
    assert all(each["description"] for each in told["properties"].values())
    for name in profiles():
        path = Path(energy.__file__).parent / "profiles" / f"{name}.yml"
        jsonschema.Draft202012Validator(told).validate(yaml.safe_load(path.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(told).validate({**GOOD, "e_sinop": 1.0})


def test_unknown_names_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean '45nm_fp32'"):
        profile("45nm_fp23")
    with pytest.raises(UserError, match="no profile file"):
        profile(tmp_path / "none.yml")
    bomb = tmp_path / "bomb.yml"
    bomb.write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(UserError):
        profile(bomb)
    bomb.write_text("#" * 100_000)
    with pytest.raises(UserError, match="larger"):
        profile(bomb)


def test_an_objective_that_a_profile_cannot_price_is_refused() -> None:
    both = ("accuracy", "energy_uJ", "learning_energy_uJ")
    profile("lemaire").check(both)
    profile("loihi").check(both)
    profile("odin").check(both[:2])
    with pytest.raises(UserError, match="'odin' has no figure for a synapse's change: learning_energy_uJ"):
        profile("odin").check(both)
    with pytest.raises(UserError, match="'loihi2' has no figure for a synaptic operation"):
        profile("loihi2").check(both)
    for name in ("loihi", "truenorth", "truenorth_merolla2014"):
        profile(name).check(("latency_us",))
    profile("odin").check(("latency_steps",))
    with pytest.raises(UserError, match=r"'odin' has no figure for the time of a step.*latency_us cannot be an"):
        profile("odin").check(("latency_us",))


# SENECA, table 3 (Frontiers in Neuroscience 17:1187252), pJ per synaptic operation; Horowitz 2014 for arithmetic.
TABULATED = {
    "odin": 12.7, "reckon": 5.3, "ubrain": 26, "truenorth": 2.5, "tianjic": 1.54, "neuronflow": 20, "loihi": 23.6,
    "spinnaker": 45, "spinnaker2": 10, "seneca": 2.8, "truenorth_merolla2014": 26,
}  # fmt: skip
ARITHMETIC = {"45nm_fp32": (3.7, 0.9), "45nm_fp16": (1.1, 0.4), "45nm_int32": (3.1, 0.1), "45nm_int8": (0.2, 0.03)}


def test_the_figures_are_those_of_their_sources() -> None:
    assert {name: profile(name).e_synop for name in TABULATED} == TABULATED
    for name, (multiply, add) in ARITHMETIC.items():
        assert (profile(name).e_mac, profile(name).e_ac) == (pytest.approx(multiply + add), add)
