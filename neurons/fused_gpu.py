"""Our kernels on a GPU: `fused_lif.cu`, compiled by CuPy for the card at hand and kept in CuPy's cache on disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurons.dynamics import Drive, Dynamics

THREADS = 128
TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}


@cache
def _missing() -> str | None:
    if not torch.cuda.is_available():
        return "needs a CUDA GPU for currents that lie on one, and torch sees none"
    try:
        import cupy
    except ImportError:
        return "needs CuPy on a GPU: pip install 'snn-nas[cupy]' for CUDA 12, 'snn-nas[cupy13]' for CUDA 13"
    return None if cupy.cuda.is_available() else "needs a CuPy that fits this driver: cupy-cuda12x or cupy-cuda13x"


def obstacle(dtype: torch.dtype | None) -> str | None:
    """See `fused.Kernels`."""
    if dtype is not None and dtype not in TYPES:
        return f"takes float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}; ask for auto or plain"
    return _missing()


def source() -> str:
    """The CUDA C of the kernels."""
    return Path(__file__).with_name("fused_lif.cu").read_text(encoding="utf-8")


def options(dynamics: Dynamics, drive: Drive, learned: bool, wide: int) -> tuple[str, ...]:
    """The compiler's options that make of the source one pair of kernels; see its head."""
    charge = 0 if dynamics.kind == "if" else 1 if dynamics.decay_input else 2
    macros = {
        "STEPS": drive.length,
        "CHARGE": charge,
        "SURROGATE": dynamics.surrogate.code,
        "HARD": dynamics.hard,
        "DETACH": dynamics.detach_reset,
        "ADAPTIVE": dynamics.kind == "alif",
        "LEARNED": learned,
        "TRACED": drive.trace is not None,
        "SUMMED": drive.steps is not None,
        "TYPE": TYPES[drive.current.dtype],
        "WIDE": wide,
        "THREADS": THREADS,
    }
    # no contraction to fused multiply-adds: a rounding can flip a spike
    return ("-std=c++14", "-fmad=false", *(f"-D{name}={int(value)}" for name, value in macros.items()))


def constants(dynamics: Dynamics, trace: float | None) -> tuple[float, ...]:
    """The kernels' first arguments, in their order; a learned rate comes after them, and takes the place of some."""
    inverse = 1.0 / dynamics.tau  # torch too multiplies by the inverse on a GPU
    gain = inverse if dynamics.decay_input else 1.0
    return (
        *(inverse, gain, 1.0 - inverse, dynamics.threshold),
        *(dynamics.surrogate.sharpness, dynamics.rho, dynamics.beta, trace or 0.0),
    )


def width(size: int, steps: int, itemsize: int, *tensors: Tensor | None) -> int:
    """Neurons a thread takes: as many as 16 bytes hold, fewer where registers or the tensors' alignment forbid it."""
    wide = min(16 // itemsize, max(32 // steps, 4 // itemsize))
    while wide > 1 and (size % wide or any(t is not None and t.data_ptr() % (wide * itemsize) for t in tensors)):
        wide //= 2
    return 1 << (wide.bit_length() - 1)


def forward(dynamics: Dynamics, rate: Tensor | None, drive: Drive) -> tuple[Tensor, Tensor | None]:
    """See `fused.Kernels`."""
    spikes = drive.empty_sequence()
    trace = None if drive.trace is None else drive.empty_sequence()
    _launch("forward", dynamics, rate, drive, (spikes, trace))
    return spikes, trace


def backward(dynamics: Dynamics, rate: Tensor | None, drive: Drive, grad: Tensor) -> tuple[Tensor, Tensor | None]:
    """See `fused.Kernels`."""
    grad_current = drive.empty_sequence() if drive.steps is None else torch.empty_like(drive.current)
    partial = None if rate is None else grad.new_zeros(_blocks(drive.frame.numel(), 1), dtype=torch.float32)
    _launch("backward", dynamics, rate, drive, (grad, grad.stride(0), grad_current, partial))
    return grad_current, None if partial is None else partial.sum()


@cache
def _kernel(name: str, chosen: tuple[str, ...], device: int) -> Any:
    import cupy

    return cupy.RawModule(code=source(), options=chosen).get_function(name)


def _blocks(size: int, wide: int) -> int:
    return -(-size // (wide * THREADS))


def _launch(
    name: str, dynamics: Dynamics, rate: Tensor | None, drive: Drive, rest: tuple[Tensor | int | None, ...]
) -> None:
    import cupy
    import numpy

    size, device = drive.frame.numel(), drive.current.device
    if size == 0:
        return
    tensors = (drive.current, *(arg for arg in rest if isinstance(arg, Tensor)))
    wide = width(size, drive.length, drive.current.itemsize, *tensors)
    rate = None if rate is None else rate.to(device, torch.float32)
    args = (*constants(dynamics, drive.trace), rate, size, drive.current, drive.time_stride, *rest)
    index = device.index if device.index is not None else torch.cuda.current_device()
    stream = torch.cuda.current_stream(device).cuda_stream
    with cupy.cuda.Device(index), cupy.cuda.ExternalStream(stream, index):
        _kernel(name, options(dynamics, drive, rate is not None, wide), index)(
            (_blocks(size, wide),), (THREADS,), tuple(_argument(arg, numpy) for arg in args)
        )


def _argument(arg: Tensor | float | None, numpy: Any) -> Any:
    if isinstance(arg, float):
        return numpy.float32(arg)
    return numpy.int64(0 if arg is None else arg.data_ptr() if isinstance(arg, Tensor) else arg)
