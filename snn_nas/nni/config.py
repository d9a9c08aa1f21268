"""Reading an NNI configuration, and writing the one that we start: same content, absolute paths."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from neurons.errors import UserError
from snn_nas.nni.command import trial_words, with_settings
from snn_nas.nni.messages import TITLE_WARNING
from snn_nas.yaml_file import read_yaml

_PATHS = (
    ("searchSpaceFile",),
    ("trialCodeDirectory",),
    ("experimentWorkingDirectory",),
    ("tuner", "codeDirectory"),
    ("assessor", "codeDirectory"),
)


def read_config(path: Path) -> dict[str, Any]:
    """An NNI configuration with its paths made absolute: they are relative to the file.

    Raises:
        UserError: there is no such file, or it is no YAML mapping.
    """
    config = read_yaml(path)
    if not isinstance(config, dict) or "trialCommand" not in config:
        raise UserError(f"{path} is no NNI configuration: it has no trialCommand")
    config.setdefault("trialCodeDirectory", ".")
    for *parents, key in _PATHS:
        owner: Any = config
        for parent in parents:
            owner = owner.get(parent)
        if isinstance(owner, dict) and isinstance(owner.get(key), str):
            owner[key] = str((path.parent / Path(owner[key]).expanduser()).resolve())
    return config


def override(
    config: Mapping[str, Any],
    *,
    trials: int | None,
    concurrency: int | None,
    seed: int | None,
    data: str | None = None,
    exportable: str | None = None,
    words: Sequence[str] = (),
    folder: Path,
) -> dict[str, Any]:
    """The configuration with what the command line asked for."""
    changed = {**config, "experimentWorkingDirectory": str(folder)}
    if isinstance(config.get("experimentName"), str):
        changed["experimentName"] = config["experimentName"].removeprefix(TITLE_WARNING)
    if trials is not None:
        changed["maxTrialNumber"] = trials
    if concurrency is not None:
        changed["trialConcurrency"] = concurrency
    if seed is not None:
        tuner = dict(changed.get("tuner") or {})
        tuner["classArgs"] = {**(tuner.get("classArgs") or {}), "seed": seed}
        changed["tuner"] = tuner
    changed = changed if data is None else with_data(changed, data)
    changed = changed if exportable is None else with_exportable(changed, exportable)
    return with_words(changed, words)


def with_words(config: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """The same search with settings of its trials replaced or added, each `name=value`.

    Raises:
        UserError: its command runs no trial of ours, or cannot be read.
    """
    return {**config, "trialCommand": with_settings(str(config["trialCommand"]), given)} if given else dict(config)


def with_data(config: Mapping[str, Any], data: str) -> dict[str, Any]:
    """The same search on another data set: in the trial's command and in the space.

    Raises:
        UserError: the configuration does not say where its data set stands.
    """
    command = str(config["trialCommand"])
    tuner = dict(config.get("tuner") or {})
    given = dict(tuner.get("classArgs") or {})
    if not any(word.startswith("data=") for word in trial_words(command)) or "data" not in (given.get("space") or {}):
        raise UserError("the data set can be replaced only where trialCommand and the tuner's space name one")
    given["space"] = {**given["space"], "data": data}
    return with_words({**config, "tuner": {**tuner, "classArgs": given}}, [f"data={data}"])


def with_exportable(config: Mapping[str, Any], target: str) -> dict[str, Any]:
    """The same search among what can be exported to `target`, such as `nir`; NNI's page shows that space.

    Raises:
        UserError: the configuration has no space, or nothing in it can be exported.
    """
    from snn_nas.nni.study import build_space

    tuner = dict(config.get("tuner") or {})
    given = dict(tuner.get("classArgs") or {})
    if "name" not in (given.get("space") or {}):
        raise UserError("a search can be narrowed to what is exportable only where the tuner names its space")
    given["space"] = {**given["space"], "exportable": target}
    changed = {key: value for key, value in config.items() if key != "searchSpaceFile"}
    space = build_space(given["space"]).search_space()
    return {**changed, "tuner": {**tuner, "classArgs": given}, "searchSpace": space}


def refuse_assessor(config: Mapping[str, Any]) -> None:
    """NNI drops the assessor of a tuner that is, in its words, an advisor, as ours is; that shall not go unnoticed.

    Raises:
        UserError: the configuration has one.
    """
    if config.get("assessor"):
        raise UserError(
            "`assessor` has no effect beside our tuner; take it out, and for trials that end early "
            "give the tuner `classArgs: {early_stop: median}`"
        )


def write_config(config: Mapping[str, Any], folder: Path) -> Path:
    """Write the configuration to a new file in the folder."""
    handle, name = tempfile.mkstemp(prefix="config-", suffix=".yml", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        yaml.safe_dump(dict(config), file, sort_keys=False, allow_unicode=True)
    return Path(name)
