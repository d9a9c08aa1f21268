"""Every dependency is pinned, documented and licensed; the audit sees what it should."""

from __future__ import annotations

import re
import stat
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests import REPOSITORY
from tools import audit

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ALLOWED = yaml.safe_load((REPOSITORY / "tools" / "audit.yml").read_text(encoding="utf-8"))


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


WANTED = [
    requirement
    for text in [
        *PROJECT["dependencies"],
        *(one for extra in PROJECT["optional-dependencies"].values() for one in extra),
    ]
    if (requirement := Requirement(text)).name != "snn-nas"
]


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    assert len(found) == sum("==" in line for line in lines), "a package is pinned twice"
    return {plain(name): pin for name, pin in found.items()}


@pytest.mark.parametrize("requirement", WANTED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_and_documented(requirement: Requirement) -> None:
    name = plain(requirement.name)
    assert name in pins(), f"pin {name} in constraints.txt"
    assert requirement.specifier.contains(pins()[name], prereleases=True), f"{name}: pin and pyproject.toml contradict"
    rows = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8").splitlines()
    found = [row for row in rows if row.startswith("| `") and plain(row.split("`")[1]) == name]
    assert len(found) == 1, f"{name} needs a line in docs/dependencies.md: why it is here, what would replace it"
    why, instead = (cell.strip() for cell in found[0].strip("|").split("|")[1:3])
    assert len(why.split()) >= 2
    assert instead


def test_the_document_names_nothing_that_is_gone() -> None:
    text = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert {plain(name) for name in re.findall(r"^\| `([^`]+)`", text, re.M)} == {plain(r.name) for r in WANTED}


def test_whatever_comes_along_is_pinned_too() -> None:
    cuda = re.compile(r"nvidia-.*|triton|cuda-.*")  # torch's own, by the CUDA version of its build
    loose = {name for name in audit.shipped("snn-nas") - set(pins()) - {"snn-nas"} if not cuda.fullmatch(name)}
    assert not loose


def test_pins_that_matter_most_are_what_runs_here() -> None:
    """The pins are what was tested only if tests run on them; torch's may differ by machine."""
    for name in ("nni", "spikingjelly", "snntorch", "nir"):
        assert Version(version(name)) == Version(pins()[name]), name


def test_all_that_is_installed_has_a_licence_that_we_take() -> None:
    assert list(audit.licences(ALLOWED, audit.shipped("snn-nas"))) == []


def test_what_is_let_pass_has_a_reason() -> None:
    for group in ("packages", "apart"):
        for name, entry in ALLOWED[group].items():
            assert name == plain(name)
            assert entry["licence"]
            assert len(entry["why"].split()) > 3, name
    assert not set(ALLOWED["apart"]) & audit.shipped("snn-nas"), "what is shipped cannot be let pass as a test's tool"


class Installed:
    """A package's metadata."""

    def __init__(self, name: str, *classifiers: str, **fields: str) -> None:
        self.name, self.fields, self.classifiers = name, {"Name": name, **fields}, classifiers

    @property
    def metadata(self) -> Any:
        outer = self

        class Metadata(dict[str, str]):
            def get_all(self, key: str) -> list[str] | None:
                return list(outer.classifiers) if key == "Classifier" else None

        return Metadata(self.fields)


@pytest.mark.parametrize(
    ("found", "licence", "ok"),
    [
        (Installed("a", **{"License-Expression": "MIT AND (Apache-2.0 OR GPL-3.0-only)"}), None, True),
        (Installed("a", **{"License-Expression": "GPL-3.0-only OR MIT"}), None, True),
        (Installed("a", **{"License-Expression": "MIT AND GPL-3.0-only"}), None, False),
        (Installed("a", License="BSD 3-Clause License"), "BSD-3-Clause", True),
        (Installed("a", "License :: OSI Approved :: MIT License"), "MIT", True),
        (Installed("a", "License :: OSI Approved :: GNU General Public License (GPL)"), None, False),
        (Installed("a", "License :: OSI Approved :: MIT License", License="x" * 200), "MIT", True),
        (Installed("a", "Programming Language :: Python"), "", False),
    ],
)
def test_licences_are_read_from_any_kind_of_metadata(found: Any, licence: str | None, ok: bool) -> None:
    read = audit.licence_of(found, ALLOWED["spellings"])
    assert licence is None or read == licence
    assert (bool(read) and audit.fits(read, ALLOWED["licences"])) == ok


def test_an_unlicensed_package_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        audit, "distributions", lambda: [Installed("nameless"), Installed("strict", License="AGPL-3.0")]
    )
    wrong = list(audit.licences(ALLOWED, {"strict"}))
    assert wrong == [
        "nameless names no licence: find out, and list it in tools/audit.yml",
        "strict is installed with snn-nas under AGPL-3.0, which tools/audit.yml does not allow",
    ]


REPORT = [
    {"name": "good", "version": "1", "vulns": []},
    {"name": "bad", "version": "2", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["3"]}]},
]


def test_a_vulnerability_is_wrong_unless_listed_with_a_reason_and_the_list_does_not_rot() -> None:
    assert list(audit.unlisted(REPORT, [])) == ["bad 2 has CVE-1, PYSEC-1; mended in 3"]
    listed = {"id": "CVE-1", "package": "bad", "why": "we never call it"}
    assert list(audit.unlisted(REPORT, [listed])) == []
    assert list(audit.unlisted(REPORT, [{**listed, "why": " "}])) == [
        "CVE-1: tools/audit.yml ignores it without a package or a reason"
    ]
    assert list(audit.unlisted(REPORT[:1], [listed])) == [
        "CVE-1: tools/audit.yml ignores it, but it is not there any more"
    ]


def stand_in(folder: Path, text: str) -> Path:
    path = folder / "pip-audit"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


NOT_FOUND = '{"dependencies": [{"name": "nni", "skip_reason": "Dependency not found on PyPI"}]}'
KNOWN = '{"dependencies": [{"name": "nni", "version": "3.0", "vulns": [{"id": "CVE-7", "fix_versions": []}]}]}'


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("echo 'ConnectionError: no way out' >&2; exit 1", 0, "no service could be reached (osv: ConnectionError"),
        (f"echo '{NOT_FOUND}'", 0, "pypi: Dependency not found on PyPI"),
        (f"echo '{KNOWN}'; exit 1", 1, "WRONG    nni 3.0 has CVE-7; mended in no version yet"),
    ],
)
def test_a_service_that_cannot_be_reached_is_skipped_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, said: str
) -> None:
    assert audit.main(["--pip-audit", str(stand_in(tmp_path, text))]) == code
    assert said in capsys.readouterr().out


def test_without_pip_audit_the_licences_are_checked_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit.main(["--pip-audit", str(tmp_path / "nowhere")]) == 0
    assert "there is no" in capsys.readouterr().out
