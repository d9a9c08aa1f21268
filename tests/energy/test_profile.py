"""Profiles: every shipped one behind the contract, and files that are none."""

from pathlib import Path

import pytest
import yaml

from neurons.errors import UserError
from snn_nas.energy.profile import DEFAULT, from_mapping, profile, profiles
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
        "45nm_fp32 45nm_int32 45nm_int8 lemaire loihi loihi2 truenorth truenorth_merolla2014 spinnaker spinnaker2"
    )
    assert {*promised.split(), "odin", "seneca", "tianjic"} == set(profiles())
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
