"""The exact connection map: to how many output neurons each input position is wired.

The usual shortcut, C_out * kh * kw for every input, ignores borders, rows that a stride drops, and dilation. Counting
is itself a transposed convolution of ones: every output position sends a one back along each of its connections.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.grad import conv2d_input

from snn_nas.graph import Synapse


@lru_cache(maxsize=4096)
def fan_out(synapse: Synapse, shape: tuple[int, ...]) -> Tensor:
    """Synapses of one input neuron at each position, `[H, W]` in float64; one number, `[]`, for a linear map.

    It is the same for every channel. `shape` is the input's, `(C, H, W)` or `(N,)`. Kept: do not write into it.
    """
    if synapse.kind == "linear":
        return torch.tensor(float(synapse.c_out), dtype=torch.float64)
    sides = synapse.out_shape(shape)[1:]
    ones = torch.ones(1, 1, *sides, dtype=torch.float64)
    kernel = torch.ones(1, 1, synapse.kernel, synapse.kernel, dtype=torch.float64)
    reached: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
        (1, 1, *shape[1:]), kernel, ones, synapse.stride, synapse.padding, synapse.dilation
    )
    return reached[0, 0].round() * (synapse.c_out // synapse.groups)


@lru_cache(maxsize=4096)
def connections(synapse: Synapse, shape: tuple[int, ...]) -> int:
    """Number of connections: the multiply-accumulates of one dense pass over an input of `shape`."""
    return int(fan_out(synapse, shape).sum()) * synapse.c_in
