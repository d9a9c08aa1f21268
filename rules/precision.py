"""Mixed precision on any CPU: products of bfloat16 numbers, where there are no instructions for them.

Under `torch.autocast` synaptic products are taken in bfloat16. A processor that cannot (x86 without AVX-512) would be
left to torch's plain loops, 28 times as slow as its own float32. There operands are rounded to bfloat16, multiplied and
summed in float32, and the result is rounded: which is what the instructions do, up to the order of the sums.
"""

from __future__ import annotations

import torch
from torch import Tensor

NATIVE: bool = torch._C._has_mkldnn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
"""Whether oneDNN, to which torch leaves them, has products of bfloat16 for this processor."""


def asked(x: Tensor) -> torch.dtype:
    """The type in which a product of x is to be taken: `torch.autocast`'s, or without it that of x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def emulated(x: Tensor) -> bool:
    """Whether the product of x is asked for in bfloat16, on a processor that has none."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and asked(x) == torch.bfloat16 and not NATIVE


def rounded(x: Tensor) -> Tensor:
    """x in its own type, rounded to bfloat16; so is its gradient."""
    return x.to(torch.bfloat16).to(x.dtype)
