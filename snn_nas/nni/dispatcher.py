"""NNI's process of the tuner, but in order: `python -m snn_nas.nni.dispatcher`, which a mended manager starts.

Stock NNI hands results to one thread and the ends of trials to another, so that an end can overtake the result that was
sent before it: NNI's own TPE dies of that. Here one thread takes every command as it comes, an assessor's among them.
"""

from __future__ import annotations

from typing import Any


def main() -> None:
    """Run NNI's dispatcher with one queue for all commands."""
    from nni.__main__ import main as run
    from nni.runtime.msg_dispatcher_base import MsgDispatcherBase

    def enqueue(self: Any, command: Any, data: Any) -> None:
        self.default_command_queue.put((command, data))

    MsgDispatcherBase.enqueue_command = enqueue
    run()


if __name__ == "__main__":
    main()
