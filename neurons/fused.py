"""Our own kernels on the CPU: `_fused_cpu.c`, called through ctypes, as one differentiable operation.

Forward reads the current and writes the spikes; backward reads the current and the spikes' gradient and writes the
current's. Nothing else of the sequence's size is read, written or kept. Spikes equal SpikingJelly's bit for bit.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import replace
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurons.dynamics import Drive, Dynamics

# Above this many bytes a result is written past the caches: it would not be found there again.
_STREAM_BYTES = 8 << 20

# CHARGE_... of the C file; each but the first is followed by its twin in which the current does not decay.
_IF, _DIVIDE, _MULTIPLY = 0, 1, 3


class _Neuron(ctypes.Structure):
    """`Neuron` of the C file, field by field."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("charge", "surrogate", "hard", "detach", "adaptive")),
        *((name, ctypes.c_float) for name in ("leak", "gain", "decay", "threshold", "sharpness", "rho", "beta")),
        ("trace_decay", ctypes.c_float),
    )


@cache
def _library() -> ctypes.CDLL | None:
    """The compiled extension, or None where it was not built. Torch is loaded by now, and with it its OpenMP pool."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_fused_cpu" + suffix)
        if path.exists():
            library = ctypes.CDLL(str(path))
            break
    else:
        return None
    pointer, size, word = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int
    library.snn_forward.argtypes = (pointer, size, size, pointer, size, pointer, pointer, word, word)
    library.snn_forward.restype = None
    library.snn_backward.argtypes = (
        *(pointer, size, size, pointer, size, pointer, size, pointer, size, pointer),
        *(word, word),
    )
    library.snn_backward.restype = word
    library.snn_keep_pages()
    return library


def obstacle(device: torch.device, dtype: torch.dtype | None) -> str | None:
    """Why the kernels cannot run there, as the end of a sentence; None where they can."""
    if device.type != "cpu":
        return f"runs on the CPU only so far, and the current lies on {device.type}; ask for auto or cupy"
    if dtype not in (torch.float32, None):
        return f"takes float32, not {str(dtype).removeprefix('torch.')}; ask for auto or plain"
    if _library() is None:
        return "is not built: with a C compiler at hand, pip install --force-reinstall --no-deps snn-nas (or -e .)"
    return None


def run(dynamics: Dynamics, drive: Drive, w: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """See `neurons.backends`."""
    rate = None if w is None else w.sigmoid()
    neuron = _neuron(dynamics, rate, drive.trace)
    learning = drive.current.requires_grad or (rate is not None and rate.requires_grad)
    if not (learning and torch.is_grad_enabled()):
        return _forward(neuron, replace(drive, current=_laid_out(drive)))
    spikes, trace = _Fused.apply(drive.current, rate, neuron, drive)  # type: ignore[no-untyped-call]
    return spikes, trace


class _Fused(torch.autograd.Function):
    """Spikes and trace of a current and, for plif, of `rate = 1 / tau`."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, rate: Tensor | None, neuron: _Neuron, drive: Drive
    ) -> tuple[Tensor, Tensor | None]:
        current = _laid_out(drive)
        ctx.save_for_backward(current)
        ctx.neuron, ctx.steps, ctx.learned = neuron, drive.steps, rate is not None
        spikes, trace = _forward(neuron, replace(drive, current=current))
        if trace is not None:
            ctx.mark_non_differentiable(trace)
        return spikes, trace

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor | None, None, None]:
        drive = Drive(ctx.saved_tensors[0], ctx.steps)
        frame, size = drive.frame, drive.frame.numel()
        if grad[0].stride() != frame.stride() or grad.stride(0) not in (0, size):
            grad = _empty_sequence(drive).copy_(grad)
        summed = drive.steps is not None
        grad_current = torch.empty_like(frame) if summed else _empty_sequence(drive)
        grad_rate = ctypes.c_double()
        failed = _call(
            "snn_backward",
            *(ctx.neuron, size, drive.length, drive.current, _time_stride(drive), grad, grad.stride(0)),
            *(grad_current, 0 if summed else size, ctypes.byref(grad_rate) if ctx.learned else None),
            written=grad_current,
        )
        if failed:
            raise MemoryError(f"no room to recompute {drive.length} steps")
        return grad_current, frame.new_tensor(grad_rate.value) if ctx.learned else None, None, None


def _neuron(dynamics: Dynamics, rate: Tensor | None, trace: float | None) -> _Neuron:
    if dynamics.kind == "if":
        charge, leak, gain, decay = _IF, 0.0, 1.0, 1.0
    else:
        leak = dynamics.tau if rate is None else float(rate.detach())
        inverse = 1.0 / leak if rate is None else leak
        # a learned 1 / tau multiplies; so does a power of two, whose inverse is exact, because divisions are dear
        multiply = rate is not None or math.frexp(leak)[0] == 0.5
        if multiply:
            leak = inverse
        charge = (_MULTIPLY if multiply else _DIVIDE) + (0 if dynamics.decay_input else 1)
        gain, decay = (inverse if dynamics.decay_input else 1.0), 1.0 - inverse
    return _Neuron(
        charge=charge,
        surrogate=dynamics.surrogate.code,
        hard=dynamics.hard,
        detach=dynamics.detach_reset,
        adaptive=dynamics.kind == "alif",
        leak=leak,
        gain=gain,
        decay=decay,
        threshold=dynamics.threshold,
        sharpness=dynamics.surrogate.sharpness,
        rho=dynamics.rho,
        beta=dynamics.beta,
        trace_decay=trace or 0.0,
    )


def _forward(neuron: _Neuron, drive: Drive) -> tuple[Tensor, Tensor | None]:
    spikes = _empty_sequence(drive)
    trace = None if drive.trace is None else _empty_sequence(drive)
    _call(
        "snn_forward",
        *(neuron, drive.frame.numel(), drive.length, drive.current, _time_stride(drive), spikes, trace),
        written=spikes,
    )
    return spikes, trace


def _call(name: str, neuron: _Neuron, *args: Any, written: Tensor) -> int:
    addresses = (arg.data_ptr() if isinstance(arg, Tensor) else arg for arg in args)
    past_cache = written.nbytes > _STREAM_BYTES
    result: int = getattr(_library(), name)(ctypes.byref(neuron), *addresses, torch.get_num_threads(), past_cache)
    return result


def _laid_out(drive: Drive) -> Tensor:
    """The current as it is where each step is one dense piece of memory, in whatever order; else a contiguous copy."""
    current, frame = drive.current, drive.frame
    if current.is_contiguous():
        return current
    # a layout survives empty_like exactly where it is dense and without overlap; on the meta device that costs nothing
    dense = torch.empty_like(frame, device="meta").stride() == frame.stride()
    return current if dense and _time_stride(drive) in (0, frame.numel()) else current.contiguous()


def _time_stride(drive: Drive) -> int:
    return drive.current.stride(0) if drive.steps is None else 0


def _empty_sequence(drive: Drive) -> Tensor:
    """Room for `[T, B, ...]`, each step laid out as the current's."""
    frame = drive.frame
    return torch.empty_strided((drive.length, *frame.shape), (frame.numel(), *frame.stride()), dtype=frame.dtype)
