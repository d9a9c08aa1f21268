"""`python -m snn_nas.supernet`: one supernet, trained as the JSON on standard input asks for; see `process`."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neurons.errors import UserError
from snn_nas.nni.lifeline import die_with_parent

if TYPE_CHECKING:
    from torch import Tensor


def main() -> int:
    """Answer the request; the exit code is 2 for what the user got wrong."""
    die_with_parent()
    try:
        say({"answer": answer(json.load(sys.stdin))})
    except UserError as error:
        say({"error": str(error)})
        return 2
    return 0


def say(message: Mapping[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(message), flush=True)


class Report:
    """Says once a second how far it is."""

    def __init__(self) -> None:
        self.began = self.said = time.monotonic()

    def __call__(self, done: int, total: int, loss: Tensor) -> None:
        """A step was done; its loss is read where it is said, since a GPU is waited for then."""
        now = time.monotonic()
        if now - self.said >= 1.0 or done == total:
            self.said = now
            value = float(loss)
            shown = value if math.isfinite(value) else 0.0
            say({"done": done, "total": total, "seconds": now - self.began, "loss": shown})


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Train; the architecture weights.

    Raises:
        UserError: the space cannot be held in a supernet, or a setting or the data are wrong.
    """
    from snn_nas.evaluation import EvaluationSettings
    from snn_nas.nni.study import build_space
    from snn_nas.spaces.space import Space

    evaluation, space = EvaluationSettings.of(request["evaluation"]), build_space(request["space"])
    if not isinstance(space, Space):
        raise UserError("the space of a factory must be a snn_nas.spaces.Space to have a supernet")
    from snn_nas.supernet.request import run  # torch: only when all settings are right

    return {"logits": run(request, space, evaluation, on_step=Report())}


if __name__ == "__main__":
    sys.exit(main())
