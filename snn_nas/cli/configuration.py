"""An experiment's configuration, read as a whole and checked before anything starts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurons.errors import UserError
from snn_nas.data import describe
from snn_nas.energy.profile import profile
from snn_nas.evaluation import EvaluationSettings, check_encoding
from snn_nas.nni.config import read_config, refuse_assessor, with_data, with_exportable, with_words
from snn_nas.nni.study import Study
from snn_nas.nni.trial import NO_SPACE, trial_settings, trial_space
from snn_nas.spaces.space import Space
from snn_nas.yaml_file import parse_yaml, read_yaml


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
    ours: bool = True

    def check_search_space(self) -> None:
        """See that trials can read what a tuner that is not ours will draw: ours does not look at NNI's search space.

        Raises:
            UserError: a parameter is unknown, missing, or has another value.
        """
        if self.ours:
            return
        raw = self.raw
        shown = raw["searchSpace"] if "searchSpace" in raw else read_yaml(Path(raw["searchSpaceFile"]))
        try:
            self.space.decode({name: choices["_value"][0] for name, choices in shown.items()})
        except UserError as error:
            made = f"`snn-nas spaces --config {self.path} --nni` writes the whole of it"
            raise UserError(f"{self.path}: searchSpace: {error}; {made}") from error
        except (TypeError, LookupError, AttributeError) as error:
            raise UserError(f"{self.path}: searchSpace is missing, or none that NNI's documentation knows") from error


def read(
    path: Path, data: str | None = None, words: Sequence[str] = (), exportable: str | None = None
) -> Configuration:
    """Read and check a configuration: its tuner, space, strategy, objectives and every word of its trial command.

    `data` replaces its data set, `words` (`name=value`) settings of its trials; `exportable` names a format, and
    narrows its space to what can be exported to that.

    Raises:
        UserError: whatever is wrong, in one line.
    """
    try:
        return _read(path, data, words, exportable)
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, OSError, RecursionError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from error


def _read(path: Path, data: str | None, words: Sequence[str], exportable: str | None) -> Configuration:
    raw = read_config(path)
    if data is not None:
        raw = with_data(raw, data)
    if exportable is not None:
        raw = with_exportable(raw, exportable)
    raw = with_words(raw, words)
    try:
        settings = EvaluationSettings.of(trial_settings(str(raw["trialCommand"])))
        given, foreign = _tuner(raw)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    if not foreign:
        refuse_assessor(raw)
    for key in ("maxTrialNumber", "trialConcurrency"):
        if key not in raw:
            raise UserError(f"{path}: {key} is missing; the file has {', '.join(map(str, raw))}")
        if type(raw[key]) is not int or raw[key] < 1:
            raise UserError(f"{path}: {key} is a whole number, at least 1, not {raw[key]!r}")
    for key in ("seed", "lag"):
        if type(given.get(key, 0)) is not int or given.get(key, 0) < 0:
            raise UserError(f"{path}: {key} is a whole number, at least 0, not {given[key]!r}")
    if "searchSpaceFile" in raw and not Path(raw["searchSpaceFile"]).is_file():
        raise UserError(f"{path}: there is no searchSpaceFile {raw['searchSpaceFile']}; see `snn-nas spaces --nni`")
    with tempfile.TemporaryDirectory() as nowhere:  # the tuner's own reading of its settings, so that both agree
        study = Study(Path(nowhere), given)
    wanted = {objective.name for objective in (*study.ordered.strategy.objectives, *study.front)}
    if "robustness" in wanted and settings.robustness == "none":
        raise UserError(f"{path}: robustness is an objective, but no trial measures it; add robustness=noise or =pgd")
    profile(settings.profile).check(wanted)
    if not isinstance(study.space, Space):
        raise UserError(f"{path}: the space of a factory must be a snn_nas.spaces.Space")
    named = given["space"].get("data", settings.data)
    if settings.data != named:
        raise UserError(f"{path}: the trials train on {settings.data}, but the space is for {named}; name one")
    entry = describe(settings.data)
    for encoding in getattr(study.space, "encodings", ()):
        check_encoding(encoding, entry)
    return Configuration(
        path,
        raw,
        study.space,
        settings,
        foreign or study.ordered.strategy.name,
        tuple(objective.name for objective in study.ordered.strategy.objectives),
        tuple(objective.name for objective in study.front),
        study.seed,
        not foreign,
    )


def _tuner(raw: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The classArgs of our tuner and ""; or for another one what they would be, as far as they are known, and its name.

    Raises:
        UserError: there is no space.
    """
    tuner = raw["tuner"] if isinstance(raw.get("tuner"), dict) else {}
    given = tuner["classArgs"] if isinstance(tuner.get("classArgs"), dict) else {}
    name, space = tuner.get("name") or tuner.get("className"), trial_space(str(raw["trialCommand"]))
    if name and "space" not in given and ("name" in tuner or space):
        if not space:
            raise UserError(NO_SPACE)
        return {"space": parse_yaml(space, "--space"), "seed": given.get("seed") or 0}, str(name)
    if not given:
        raise UserError("its tuner has no classArgs, so there is no space; see experiments/quickstart.yml")
    return given, ""
