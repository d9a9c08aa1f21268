"""`nnictl`, but patient: `python -m snn_nas.nni.nnictl create --config ...`.

Stock nnictl gives its manager about four seconds to answer, and kills it then: on a busy machine it needs ten. This one
waits for as long as the manager lives, and stops waiting at once when it does not. And where stock nnictl takes a
killed manager for a living one until its parent has reaped it, so that it refuses to resume, this one looks closer.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

import psutil

PATIENCE = 120.0


def lives(pid: int) -> bool:
    """Whether the process runs: a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """Run nnictl with its check for the manager replaced."""
    from nni.experiment import launcher, rest
    from nni.tools.nnictl import nnictl_utils
    from nni.tools.nnictl.nnictl import parse_args

    start = launcher._start_rest_server
    started: list[Any] = []

    def start_and_remember(*words: Any) -> Any:
        started.append(start(*words))
        return started[-1]

    def wait(port: int, retry: int = 3, url_prefix: str | None = None) -> None:
        del retry
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and started[-1].poll() is None:
            with contextlib.suppress(OSError):
                rest.get(port, "/check-status", url_prefix)
                return
            time.sleep(0.1)
        raise RuntimeError("NNI's manager did not start")

    nnictl_utils.detect_process = lives
    launcher._start_rest_server, launcher._check_rest_server = start_and_remember, wait
    parse_args()


if __name__ == "__main__":
    main()
