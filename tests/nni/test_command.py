"""A trial's command stays the line of shell that it was, but for the settings that are replaced: bash is the oracle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from neurons.errors import UserError
from snn_nas.nni.command import trial_words, with_settings
from snn_nas.nni.config import override, with_data, with_words
from snn_nas.nni.trial import trial_settings

TRIAL = "python -m snn_nas.nni.trial"
SHELL = f"source ~/env/bin/activate && {TRIAL} data=digits root=$HOME/data epochs=8 --threads 1"


def by_bash(command: str, folder: Path) -> list[list[str]]:
    """What each `python` of the line gets, by bash itself."""
    said = folder / "said"
    said.write_text("")
    python = f'python() {{ printf "%s\\n" "$@" END >> {said}; }}; source() {{ :; }}; HOME=/home/ada\n'
    subprocess.run(["bash", "-c", python + command], check=True, cwd=folder)
    calls = said.read_text().split("END\n")[:-1]
    return [call.splitlines() for call in calls]


@pytest.mark.parametrize(
    "command",
    [
        SHELL,
        f"{TRIAL} data='digits' \"root=$HOME/a b\" 'reason=$HOME' x=\\$HOME y=a\\ b",
        f"{TRIAL} data=digits | cat && echo epochs=4",
        f"{TRIAL} data=digits; python other.py data=cifar10",
        f"cd . && {TRIAL}",
        f"{TRIAL}  a=''  b=1\n",
        f"{TRIAL} \\\n  data=digits \\\n  b=1 && \\\n  python other.py\n",
    ],
)
def test_words_are_those_that_a_shell_gives_to_the_trial(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    trial, *others = by_bash(command, tmp_path)
    assert trial == ["-m", "snn_nas.nni.trial", *trial_words(command)]
    changed, *same = by_bash(with_settings(command, ["epochs=1", "data=c d", "epochs=2"]), tmp_path)
    old = [word for word in trial[2:] if not word.startswith(("epochs=", "data="))]
    assert sorted(changed[2:]) == sorted([*old, "epochs=2", "data=c d"])
    assert same == others


def test_the_rest_of_the_line_is_left_as_it_is() -> None:
    config = {"trialCommand": SHELL, "tuner": {"classArgs": {"space": {"data": "digits"}}}}
    assert with_words(config, [])["trialCommand"] == SHELL
    assert override(config, trials=1, concurrency=None, seed=1, folder=Path("runs"))["trialCommand"] == SHELL
    changed = with_data(with_words(config, ["epochs=1", "train=9"]), "cifar10")
    assert changed["trialCommand"] == SHELL.replace("=digits", "=cifar10").replace("epochs=8", "epochs=1") + " train=9"
    assert changed["tuner"]["classArgs"]["space"] == {"data": "cifar10"}


def test_settings_are_read_as_the_trial_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert trial_settings(SHELL) == {"data": "digits", "root": "/home/ada/data", "epochs": 8}


@pytest.mark.parametrize(
    ("command", "message"), [("python train.py", "does not run"), (f"{TRIAL} '", "cannot be read")]
)
def test_what_runs_no_trial_is_one_line(command: str, message: str) -> None:
    for attempt in (trial_words, lambda line: with_settings(line, ["epochs=1"])):
        with pytest.raises(UserError, match=message):
            attempt(command)
