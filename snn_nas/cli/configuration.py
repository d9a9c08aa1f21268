"""An experiment's configuration, read as a whole and checked before anything starts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from snn_nas.evaluation import EvaluationSettings
from snn_nas.nni.config import read_config, with_data, with_words
from snn_nas.nni.study import DEFAULTS, build_space
from snn_nas.nni.trial import read_settings
from snn_nas.search import create, objectives
from snn_nas.spaces.space import Space

TRIAL = "snn_nas.nni.trial"


@dataclass(frozen=True)
class Configuration:
    """What a YAML file of `experiments/` asks for."""

    path: Path
    raw: dict[str, Any]
    space: Space
    settings: EvaluationSettings
    strategy: str
    objectives: tuple[str, ...]
    front: tuple[str, ...]
    seed: int


def read(path: Path, data: str | None = None, words: Sequence[str] = ()) -> Configuration:
    """Read and check a configuration: its tuner, space, strategy, objectives and every word of its trial command.

    `data` replaces its data set, `words` (`name=value`) settings of its trials.

    Raises:
        UserError: whatever is wrong, in one line.
    """
    raw = read_config(path)
    if data is not None:
        raw = with_data(raw, data)
    raw = with_words(raw, words)
    words = shlex.split(str(raw["trialCommand"]))
    if TRIAL not in words:
        raise UserError(f"{path}: trialCommand does not run `python -m {TRIAL}`")
    plain = [word for word in words[words.index(TRIAL) + 1 :] if not word.startswith("-")]
    settings = EvaluationSettings.of(read_settings(plain))
    given = (raw.get("tuner") or {}).get("classArgs")
    if not isinstance(given, dict):
        raise UserError(f"{path}: its tuner has no classArgs, so there is no space; see experiments/quickstart.yml")
    chosen = {**DEFAULTS, **given}
    space = build_space(chosen["space"])
    strategy = {"name": chosen["strategy"]} if isinstance(chosen["strategy"], str) else dict(chosen["strategy"])
    if "name" not in strategy:
        raise UserError(f"{path}: the tuner's strategy has no name")
    name = str(strategy.pop("name"))
    create(name, space, objectives(chosen["objectives"]), int(chosen["seed"]), **strategy)
    if not isinstance(space, Space):
        raise UserError(f"{path}: the space of a factory must be a snn_nas.spaces.Space")
    if settings.data != chosen["space"].get("data", settings.data):
        raise UserError(
            f"{path}: the trials train on {settings.data}, but the space is for {chosen['space']['data']}; name one"
        )
    return Configuration(
        path, raw, space, settings, name, tuple(chosen["objectives"]), tuple(chosen["front"]), int(chosen["seed"])
    )
