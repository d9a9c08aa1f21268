"""NNI's keeper of trials on a machine that is reached over SSH: `python -m snn_nas.nni.worker FOLDER`.

A mended manager starts it there in the place of NNI's own launcher: so the keeper's server listens on that machine's
loopback alone, where stock NNI's listens on every interface. That it can be imported shows that our package, and with
it NNI, is installed there; stock NNI would upgrade itself from the package index instead.
"""

from __future__ import annotations

import os

from snn_nas.nni.server import environment


def main() -> None:
    """Launch the keeper, which goes on by itself, and print where it works."""
    from nni.tools.nni_manager_scripts.launch_trial_keeper import main as launch

    os.environ.update(environment())
    launch()


if __name__ == "__main__":
    main()
