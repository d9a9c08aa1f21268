"""scikit-learn's digits, with a test split that is the same for everybody.

The set comes without one, so 360 of its 1,797 images (20 % of each digit) are set aside once, by a fixed seed.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from snn_nas.data.select import draw, proportional
from snn_nas.data.source import Arrays, Part, Source

TEST_COUNT = 360
_TEST_SEED = 1797


def digits(part: Part) -> Source:
    """The digits as uint8 `[N, 1, 8, 8]`; their 17 grey levels are stretched over 0 to 255."""
    return Source((), lambda: _decode(part), variant=f"scikit-learn {version('scikit-learn')}")


def _decode(part: Part) -> Arrays:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    test = draw(labels, proportional(np.bincount(labels), TEST_COUNT), seed=_TEST_SEED)
    chosen = test if part == "test" else np.setdiff1d(np.arange(len(labels)), test)
    return Arrays(images[chosen], labels[chosen].astype(np.int64))
