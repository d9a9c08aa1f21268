"""A trial's command, a line of shell: the words after `snn_nas.nni.trial`, read and replaced where they stand.

What stands before them, `source ~/env/bin/activate && `, and what the next command of the line is, stays as written.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from neurons.errors import UserError

TRIAL = "snn_nas.nni.trial"

_WORD = re.compile(r"""(?:[^\s'"\\;&|]|\\.|'[^']*'|"(?:\\.|[^"\\])*")+|[;&|]+|\n""", re.DOTALL)
_NEXT = (";", "&", "|", "\n")


@dataclass(frozen=True)
class Word:
    """A word of a command and where it stands; `text` is what the program gets."""

    start: int
    end: int
    text: str


def trial_words(command: str) -> list[str]:
    """What a trial gets, with variables filled in as the shell of this machine does.

    Raises:
        UserError: the command runs no trial of ours, or cannot be read.
    """
    return [word.text for word in _words(command)[1:]]


def with_settings(command: str, given: Sequence[str]) -> str:
    """The same command with settings replaced or added, each `name=value`; without any it is left alone.

    Raises:
        UserError: the command runs no trial of ours, or cannot be read.
    """
    for setting in given:
        name = setting.partition("=")[0] + "="
        found = _words(command)
        old = [word for word in found[1:] if word.text.startswith(name)]
        new = shlex.quote(setting)
        if old:
            command = command[: old[0].start] + new + command[old[0].end :]
        else:
            command = f"{command[: found[-1].end]} {new}{command[found[-1].end :]}"
    return command


def _words(command: str) -> list[Word]:
    """`snn_nas.nni.trial` and the words after it, up to the line's next command."""
    try:
        shlex.split(command)
    except ValueError as error:
        raise UserError(f"trialCommand cannot be read ({error}): {command}") from error
    found: list[Word] = []
    for match in _WORD.finditer(command):
        raw = match[0].replace("\\\n", "")  # the line goes on in the next one
        if not raw:
            continue
        if found and raw.startswith(_NEXT):
            break
        text = _unquoted(raw)
        if found or text == TRIAL:
            found.append(Word(match.start(), match.end(), text))
    if not found:
        raise UserError(f"trialCommand does not run `python -m {TRIAL}`")
    return found


def _unquoted(raw: str) -> str:
    text = "".join(shlex.split(raw))
    return text if "'" in raw or "\\" in raw else os.path.expandvars(text)
