"""What an encoding that computes costs before the network starts: dense multiply-accumulates, once per inference."""

from __future__ import annotations

import math

from neurons import registry as neurons
from snn_nas.graph import Node, size


def encoding_macs(node: Node) -> int:
    """Multiply-accumulates of an input node's encoding per image; 0 where it computes nothing.

    `whiten` is one convolution with as many output as input channels; `onoff` is two Gaussian blurs, each of a row and
    a column pass, and it puts out two channels for each that goes in. Normalisation is free: it folds into the first
    weights, where a machine pads with the mean pixel.
    """
    values = {name: setting.default for name, setting in neurons.encoding(node.encoding).settings.items()}
    match node.encoding:
        case "whiten":
            return size(node.shape) * node.shape[0] * int(values["kernel"]) ** 2
        case "onoff":
            sigma, ratio = float(values["sigma"]), float(values["ratio"])
            taps = sum(2 * math.ceil(3 * width) + 1 for width in (sigma, ratio * sigma))
            return size(node.shape) // 2 * 2 * taps
        case _:
            return 0
