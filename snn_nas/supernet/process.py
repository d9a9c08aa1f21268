"""Training a supernet in a process of its own: searches stay free of torch, and can be stopped at any moment.

The request goes in as JSON. Out come lines of JSON: `{"done", "total", "seconds", "loss"}` while it trains, then
`{"answer": ...}`, or `{"error": ...}` for what the user got wrong. It ends with the process that asked for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from neurons.errors import UserError


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a supernet's training stands: steps done and in all, seconds so far, the last loss."""

    done: int
    total: int
    seconds: float
    loss: float

    @property
    def left(self) -> float:
        """Seconds that it still takes, if it goes on as it has."""
        return self.seconds / max(self.done, 1) * (self.total - self.done)

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.left), 60)
        return f"supernet {self.done / self.total:.0%}, loss {self.loss:.2f}, {minutes}:{seconds:02d} left"


def train(request: Mapping[str, Any], on_progress: Callable[[Progress], None] | None = None) -> dict[str, Any]:
    """Run the request of a strategy, with `space` and `evaluation` added, to its end: the answer for `supply`.

    Raises:
        UserError: the space cannot be held in a supernet, or a setting or the data are wrong.
        RuntimeError: the process died; the message is its last words.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    worker = subprocess.Popen(
        [sys.executable, "-m", "snn_nas.supernet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        with worker.stdin as stdin:
            stdin.write(json.dumps(request))
        said: dict[str, Any] = {}
        for line in worker.stdout:
            said = _read(line) or said
            if on_progress is not None and "done" in said:
                on_progress(Progress(said["done"], said["total"], said["seconds"], said["loss"]))
        worker.wait()
    except BrokenPipeError:
        said = {}
    finally:
        worker.kill()
        worker.wait()
    if "error" in said:
        raise UserError(said["error"])
    if "answer" not in said:
        raise RuntimeError(f"the supernet's training ended with code {worker.returncode} and no answer; see the log")
    answer: dict[str, Any] = said["answer"]
    return answer


def _read(line: str) -> dict[str, Any] | None:
    """A message, or nothing: a library may have printed something."""
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
