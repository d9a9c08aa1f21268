"""One trial under NNI: `trialCommand: python -m snn_nas.nni.trial data=digits epochs=8`.

The words after the options are settings of the evaluation. A trial always ends with a final result that says how it
ended and which genotype it is of; only a kill prevents that, and then the tuner finds out by itself.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from neurons.errors import UserError
from snn_nas.genotype import Genotype, parse
from snn_nas.nni.channel import Channel, HttpChannel, connect
from snn_nas.nni.command import TRIAL, trial_words
from snn_nas.nni.lifeline import die_with_parent
from snn_nas.nni.messages import BARS, GENOTYPE, PARENT, SEED, WEIGHTS, final_metric, read_numbers
from snn_nas.search.early_stop import Hopeless, check
from snn_nas.search.heritage import file_of
from snn_nas.search.result import Result
from snn_nas.search.strategy import trial_seed
from snn_nas.yaml_file import parse_yaml

OnEpoch = Callable[[int, Mapping[str, float]], None]
NO_SPACE = "with a tuner that is not ours, a trial needs --space '{name: chain, data: digits}'"

Evaluator = Callable[[Genotype, Mapping[str, Any], int, OnEpoch], Result]
"""`(genotype, settings, seed, on_epoch) -> Result`; `on_epoch(epoch, metrics)` is called after each epoch, and raises
`Hopeless`, which is to be let through, where the search says that the trial should end."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the trial; the exit code is 0, 1 for a trial that crashed, 2 for what the user got wrong."""
    die_with_parent()
    try:
        options = _parse(words)
        settings = read_settings(options.settings)
        channel = connect()
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    if isinstance(channel, HttpChannel) and channel.reported():
        print("This trial's result is known: nothing is left to do.", flush=True)
        return 0
    _limit_threads(options.threads, channel)
    result = run(channel, settings, options.space, options.evaluator)
    print(f"{result.status} {result.reason}".strip(), dict(result.metrics), result.genotype, flush=True)
    return 1 if result.status == "failed" else 0


def run(channel: Channel, settings: Mapping[str, Any], space: str, evaluator: str) -> Result:
    """Get the parameters, evaluate, report. Whatever goes wrong in between becomes a result of status `failed`."""
    given = channel.parameters()
    text, digest, seed = str(given.get(GENOTYPE, "")), "", 0
    bars, curve = read_numbers(given.get(BARS)), list[float]()

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        del epoch  # NNI counts by itself
        channel.intermediate({"default": metrics.get("accuracy", 0.0), **metrics})
        curve.append(metrics.get("accuracy", 0.0))
        check(curve, bars)

    try:
        genotype = parse(text) if text else _decode(given, space)
        text, digest = str(genotype), genotype.digest
        seed = int(given[SEED]) if SEED in given else trial_seed(0, digest)
        settings = {**settings, **_heritage(given, digest)}
        result = replace(_evaluator(evaluator)(genotype, settings, seed, on_epoch), curve=tuple(curve))
    except Hopeless as error:
        last, learned = {"accuracy": curve[-1]}, tuple(curve)
        result = Result(text, digest, "stopped", last, str(error), seed, len(curve), learned, error.parent)
    except Exception as error:
        traceback.print_exc()
        reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}".removesuffix(": ")
        result = Result(text, digest, "failed", {}, reason[:500], seed)
    channel.final(final_metric(result))
    return result


def _heritage(given: Mapping[str, Any], digest: str) -> dict[str, str]:
    """From where the trial takes weights, and where it leaves its own: settings of the evaluation."""
    folder = str(given.get(WEIGHTS) or "")
    if not folder:
        return {}
    if not Path(folder).is_dir():
        print(f"No weights are inherited or kept: this machine has no folder {folder}", flush=True)
        return {}
    found = {"keep": str(file_of(folder, digest))}
    if parent := str(given.get(PARENT) or ""):
        if (file := file_of(folder, parent)).exists():
            return {**found, "start": str(file)}
        print(f"Trained from scratch: the parent's weights are gone, {file}", flush=True)
    return found


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """`["epochs=8", "data=digits"]` as a mapping; values are YAML scalars.

    Raises:
        UserError: a word is not of that form, or a name comes twice.
    """
    settings: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier() or name in settings:
            raise UserError(f"a trial's settings are written once each, as name=value; not {word!r}")
        try:
            settings[name] = parse_yaml(value, name)
        except UserError as error:
            raise UserError(f"the value of {name} cannot be read: {value!r}") from error
    return settings


def trial_settings(command: str) -> dict[str, Any]:
    """The settings of the evaluation in a trial's command, whatever options stand between them.

    Raises:
        UserError: it runs no trial of ours, or one of its words cannot be read.
    """
    return read_settings(_parse(trial_words(command)).settings)


def trial_space(command: str) -> str:
    """The space in a trial's command, for a tuner that is not ours; "" if there is none.

    Raises:
        UserError: it runs no trial of ours, or one of its words cannot be read.
    """
    return str(_parse(trial_words(command)).space)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong to whoever reads the words, who knows where they stand."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"a trial's command: {message}")


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The words of a trial's command: its options, and the settings of the evaluation as `settings`.

    Raises:
        UserError: an option is unknown, or its value cannot be read.
    """
    parser = _Parser(prog=f"python -m {TRIAL}", description=__doc__)
    parser.add_argument("settings", nargs="*", metavar="name=value", help="settings of the evaluation")
    parser.add_argument("--threads", type=int, default=0, help="threads of this trial (cores / trials at once)")
    parser.add_argument("--space", default="", help="the space, as in classArgs: for a tuner that is not ours")
    parser.add_argument("--evaluator", default="", help=argparse.SUPPRESS)
    return parser.parse_intermixed_args(words)


def _decode(given: Mapping[str, Any], space: str) -> Genotype:
    """The genotype of parameters that NNI's own tuners drew."""
    from snn_nas.nni.study import build_space

    if not space:
        raise UserError(NO_SPACE)
    return build_space(parse_yaml(space, "--space")).decode(given)


def _evaluator(path: str) -> Evaluator:
    if path:
        from snn_nas.nni.study import load_function

        chosen: Evaluator = load_function(path)
        return chosen
    return _evaluate


def _evaluate(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: OnEpoch) -> Result:
    """The real thing; imported here, for it brings torch."""
    from snn_nas.evaluation import EvaluationSettings, evaluate

    return evaluate(genotype, EvaluationSettings.of(settings), seed, on_epoch)


def _limit_threads(threads: int, channel: Channel) -> None:
    """Share the cores among the trials that run at once; must come before torch is imported.

    Two trials of two threads each on two cores get into each other's way: threads wait for each other while spinning.
    """
    if not threads:
        at_once = channel.concurrency() if isinstance(channel, HttpChannel) else 0
        threads = max(1, len(os.sched_getaffinity(0)) // at_once) if at_once else 1
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, str(threads))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # a data loader's or NNI's thread must not keep a finished trial's slot
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)
