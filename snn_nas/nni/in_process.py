"""A search without NNI: the same study and the same trials, one after another in this process.

For a machine that has a GPU and no more, a lone script, or a test. It proposes what the tuner proposes at concurrency
1, keeps the same files, and goes on after a kill as the tuner does: what was proposed and has no result runs again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from neurons.errors import UserError
from snn_nas.evaluation import EvaluationSettings, evaluate, loaded
from snn_nas.genotype import Genotype
from snn_nas.nni.lifeline import hold
from snn_nas.nni.messages import parameters, result_of
from snn_nas.nni.study import Study
from snn_nas.nni.trial import OnEpoch, run
from snn_nas.search.result import Result
from snn_nas.training_settings import SETTINGS

if TYPE_CHECKING:
    from snn_nas.supernet.process import Progress

WHERE = ("root", "start", "keep", "device", "backend")
"""Settings of the evaluation that say where files lie and what computes: a search may go on on another machine."""

TRUSTED = 0.1
"""Share of a supernet's steps after which its pace is believed: the first ones take longest."""


class _Here:
    """The channel between a trial and this process (see `channel.Channel`)."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.result: Any = None

    def parameters(self) -> dict[str, Any]:
        return self.given

    def intermediate(self, value: Any) -> None:
        pass

    def final(self, value: Any) -> None:
        self.result = value


def search(
    study: Study,
    settings: EvaluationSettings,
    trials: int,
    *,
    deadline: float | None = None,
    on_result: Callable[[Result], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    evaluator: str = f"{__name__}:evaluate_loaded",
) -> bool:
    """Run trials until there are `trials` results or no genotype is left; false if it had to stop before.

    No trial starts that, by the slowest so far, would not be done at `deadline` (of `time.monotonic`). A supernet that
    the strategy wants is trained before them; `on_progress` hears how far it is.

    Raises:
        UserError: another process is at work on this search, its trials so far had other settings, or the supernet
            would not be done at the deadline.
    """
    with hold(study.state_file.parent):
        bind(study, settings)
        if study.unprepared:
            study.start(1)
            study.prepared(study.prepare(flat(settings), partial(_watch, deadline, on_progress)))
        return _search(study, settings, trials, deadline, on_result, evaluator)


def _search(
    study: Study,
    settings: EvaluationSettings,
    trials: int,
    deadline: float | None,
    on_result: Callable[[Result], None] | None,
    evaluator: str,
) -> bool:
    study.start(1)
    given = flat(settings)
    slowest = 0.0
    while len(study.results) < trials:
        if deadline is not None and time.monotonic() + slowest > deadline:
            return False
        left = study.outstanding()
        text = str(left[0]) if left else study.ask()
        if text is None:
            return True
        began = time.monotonic()
        heritage = study.inheritance(text)
        channel = _Here(dict(parameters(study.space, text, study.seed, study.bars(text), heritage=heritage)))
        run(channel, given, "", evaluator)
        result = result_of(channel.result)
        assert result is not None
        study.tell(result)
        slowest = max(slowest, time.monotonic() - began)
        if on_result is not None:
            on_result(result)
    return True


def _watch(deadline: float | None, then: Callable[[Progress], None] | None, progress: Progress) -> None:
    """End a supernet's training that would not be done in time: it cannot be stopped and go on."""
    left = progress.left if progress.done >= TRUSTED * progress.total else 0.0
    if deadline is not None and time.monotonic() + left > deadline:
        minutes = (progress.seconds + progress.left) / 60
        raise UserError(
            f"the supernet takes about {minutes:.1f} minutes and must be trained without a break, which leaves no time "
            "for it here: give more --minutes, or none"
        )
    if then is not None:
        then(progress)


def bind(study: Study, settings: EvaluationSettings) -> None:
    """Hold the study to the settings that its results were measured with, wherever the files lie and by what device.

    Raises:
        UserError: its trials so far had others.
    """
    usual = {**flat(EvaluationSettings()), **{name: setting.default for name, setting in SETTINGS.items()}}
    study.measured_with({name: value for name, value in flat(settings).items() if name not in WHERE}, usual)


def flat(settings: EvaluationSettings) -> dict[str, Any]:
    """The settings as a trial's command has them: the training's among the others."""
    own = asdict(replace(settings, training={}))
    own.pop("training")
    return {**own, **settings.training}


def evaluate_loaded(genotype: Genotype, settings: Mapping[str, Any], seed: int, on_epoch: OnEpoch) -> Result:
    """As a trial of its own does, but for the data, which is read once."""
    asked = EvaluationSettings.of(settings)
    return evaluate(genotype, asked, seed, on_epoch, loaded(asked, genotype))
