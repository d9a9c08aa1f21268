"""Where a training stands, in a file: a killed run goes on from its last epoch, and ends bit for bit as if it had not
been killed (on a CPU).

The file is replaced as a whole after every epoch, and read without running code (`weights_only`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from neurons.errors import UserError
from snn_nas.search.files import write_bytes
from snn_nas.training_settings import REVISION


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's file, and of which run it must be.

    Attributes:
        path: of the file.
        run: what decides the run: genotype, data, settings, seed. Only plain values.
    """

    path: Path
    run: Mapping[str, Any]

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the file: whoever is killed meanwhile leaves the old one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        held = io.BytesIO()  # on a full disk torch's own writer says nothing of the disk
        torch.save({"version": REVISION, "run": dict(self.run), "random": _random(), **state}, held)
        try:
            write_bytes(self.path, held.getbuffer())
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def load(self) -> dict[str, Any] | None:
        """What was saved, or None where nothing was; the global random generators are set as they were.

        Raises:
            UserError: the file is damaged, or belongs to another run.
        """
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            version, run, random = state["version"], state["run"], state["random"]
        except Exception as error:  # a damaged archive fails in many ways, all of them the same to the user
            raise UserError(f"{self.path} is damaged: delete it to train from the start") from error
        if version != REVISION or run != dict(self.run):
            other = [key for key in self.run if run.get(key) != self.run[key]] or ["version"]
            raise UserError(
                f"{self.path} is of another run (other {', '.join(other)}): "
                "give this one a folder of its own, or delete it"
            )
        torch.set_rng_state(random["cpu"])
        if torch.cuda.is_available() and random["cuda"]:
            torch.cuda.set_rng_state(random["cuda"][0])
        return dict(state)


def _random() -> dict[str, Any]:
    return {
        "cpu": torch.get_rng_state(),
        # one device a process: where several learn together, all of them are in the same state
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }
