"""Every command that the documents print can be given as it is printed; its files from this repository are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from snn_nas.cli import cli
from tests import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def printed(text: str) -> list[str]:
    """The commands that stand in a line of their own, lines that end in a backslash joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return re.findall(r"^(?: {4,}|)(?:\$ )?snn-nas (.+)$", joined, flags=re.M)


def mentioned(text: str) -> list[str]:
    """Commands within a sentence: what they leave out is understood, but what they name must exist."""
    return [" ".join(found.split()) for found in re.findall(r"`snn-nas ([^`]+)`", text)]


def words(line: str) -> list[str]:
    """Up to a comment, a pipe or a redirection."""
    found = shlex.split(line, comments=True)
    ends = [place for place, word in enumerate(found) if word in (">", "|", "&&", ";") or word.endswith(";")]
    return found[: ends[0]] if ends else found


def parsed(line: str) -> None:
    """Read the line as the command would: unknown options, what is missing or is one too many, a wrong choice."""
    name, *rest = words(line)
    command = cli.commands[name]
    command.make_context(name, rest, parent=click.Context(cli, info_name="snn-nas"))


COMMANDS = [(page, line) for page in PAGES for line in printed(page.read_text(encoding="utf-8"))]
WITHIN = [(page, line) for page in PAGES for line in mentioned(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page.stem}: {line[:60]}" for page, line in COMMANDS])
def test_a_printed_command_is_whole(page: Path, line: str) -> None:
    parsed(line)
    for word in words(line):
        if word.startswith(("experiments/", "benchmarks/", "docs/")) and ".space.json" not in word:
            assert (REPOSITORY / word).exists(), f"{page.name} names {word}"


@pytest.mark.parametrize(("page", "line"), WITHIN, ids=[f"{page.stem}: {line[:60]}" for page, line in WITHIN])
def test_a_mentioned_command_has_its_options(page: Path, line: str) -> None:
    name, *rest = words(line)
    if name.startswith("-"):
        return
    options = {option for each in cli.commands[name].params for option in each.opts + each.secondary_opts}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= {*options, "--help"}, page.name


def test_the_pages_are_read() -> None:
    assert {page.stem for page, _ in COMMANDS} >= {"README", "search", "training", "evidence", "export", "energy"}
    assert len(COMMANDS) > 25
    for wrong in ("study experiments/studies/digits.yml", "train --data digits", "rules --sample 5", "spaces a b"):
        with pytest.raises(click.UsageError):
            parsed(wrong)
