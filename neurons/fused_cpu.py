"""Our kernels on a CPU: `_fused_cpu.c`, compiled when the package is installed, called through ctypes."""

from __future__ import annotations

import ctypes
import math
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurons.dynamics import Drive, Dynamics, State

# Above this many bytes a result is written past the caches: it would not be found there again.
STREAM_BYTES = 8 << 20

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
def library() -> ctypes.CDLL | None:
    """The compiled extension, or None where it was not built. Torch is loaded by now, and with it its OpenMP pool."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_fused_cpu" + suffix)
        if path.exists():
            found = ctypes.CDLL(str(path))
            break
    else:
        return None
    if not hasattr(found, "snn_step"):  # built from sources of before
        return None
    pointer, size, word = ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int
    found.snn_forward.argtypes = (pointer, size, size, pointer, size, pointer, pointer, word, word)
    found.snn_forward.restype = None
    found.snn_backward.argtypes = (*(pointer, size, size), *(pointer, size) * 3, pointer, word, word)
    found.snn_backward.restype = word
    found.snn_step.argtypes = (pointer, size, *(pointer,) * 7, word)
    found.snn_step_back.argtypes = (pointer, size, *(pointer,) * 3, word)
    found.snn_step.restype = found.snn_step_back.restype = None
    found.snn_keep_pages()
    return found


def obstacle(dtype: torch.dtype | None) -> str | None:
    """See `fused.Kernels`."""
    if dtype not in (torch.float32, None):
        return f"takes float32 on a CPU, not {str(dtype).removeprefix('torch.')}; ask for auto or plain"
    if library() is None:
        return "is not built: with a C compiler at hand, pip install --force-reinstall --no-deps snn-nas (or -e .)"
    return None


def forward(dynamics: Dynamics, rate: Tensor | None, drive: Drive) -> tuple[Tensor, Tensor | None]:
    """See `fused.Kernels`."""
    spikes = drive.empty_sequence()
    trace = None if drive.trace is None else drive.empty_sequence()
    neuron = _neuron(dynamics, rate, drive.trace)
    _call("snn_forward", neuron, drive, spikes, trace, written=spikes)
    return spikes, trace


def backward(dynamics: Dynamics, rate: Tensor | None, drive: Drive, grad: Tensor) -> tuple[Tensor, Tensor | None]:
    """See `fused.Kernels`."""
    summed = drive.steps is not None
    grad_current = torch.empty_like(drive.current) if summed else drive.empty_sequence()
    grad_rate = None if rate is None else ctypes.c_double()
    failed = _call(
        "snn_backward",
        *(_neuron(dynamics, rate, None), drive, grad, grad.stride(0)),
        *(grad_current, 0 if summed else drive.frame.numel(), None if grad_rate is None else ctypes.byref(grad_rate)),
        written=grad_current,
    )
    if failed:
        raise MemoryError(f"no room to recompute {drive.length} steps")
    return grad_current, None if grad_rate is None else grad.new_tensor(grad_rate.value)


def step(dynamics: Dynamics, current: Tensor, state: State) -> tuple[Tensor, State]:
    """One step of neurons with fixed constants: spikes `[B, ...]` and the next state, all laid out as the current."""
    s, v, u = (torch.empty_like(current) for _ in range(3))
    a = None if state.a is None else torch.empty_like(current)
    _call_step("snn_step", dynamics, current, state.v, state.a, s, u, v, a)
    return s, State(v, u, a)


def step_back(dynamics: Dynamics, u: Tensor, grad: Tensor) -> Tensor:
    """The gradient of that step's current, from that of its spikes, laid out as u; through the spikes alone."""
    grad_current = torch.empty_like(u)
    _call_step("snn_step_back", dynamics, u, grad, grad_current)
    return grad_current


def _neuron(dynamics: Dynamics, rate: Tensor | None, trace: float | None) -> _Neuron:
    leak = dynamics.tau if rate is None else float(rate.detach())
    inverse = 1.0 / leak if rate is None else leak
    if dynamics.kind == "if":
        charge, leak, gain, decay = _IF, 0.0, 1.0, 1.0
    else:
        # a learned 1 / tau multiplies; so does a power of two, whose inverse is exact, because divisions are dear
        multiply = rate is not None or math.frexp(leak)[0] == 0.5
        charge = (_MULTIPLY if multiply else _DIVIDE) + (0 if dynamics.decay_input else 1)
        leak = inverse if multiply else leak
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


def _call_step(name: str, dynamics: Dynamics, first: Tensor, *rest: Tensor | None) -> None:
    addresses = (None if tensor is None else tensor.data_ptr() for tensor in (first, *rest))
    neuron = _neuron(dynamics, None, None)
    getattr(library(), name)(ctypes.byref(neuron), first.numel(), *addresses, torch.get_num_threads())


def _call(name: str, neuron: _Neuron, drive: Drive, *rest: Any, written: Tensor) -> int:
    args = (drive.frame.numel(), drive.length, drive.current, drive.time_stride, *rest)
    addresses = (arg.data_ptr() if isinstance(arg, Tensor) else arg for arg in args)
    past_cache = written.nbytes > STREAM_BYTES
    result: int = getattr(library(), name)(ctypes.byref(neuron), *addresses, torch.get_num_threads(), past_cache)
    return result
