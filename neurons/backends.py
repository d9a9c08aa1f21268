"""What can run a population, and which one does.

    plain    our loop over `Dynamics.step`: any device, any floating type
    torch    the same loop over SpikingJelly's own step functions
    fused    our kernels: one pass over time forward, one backward
    cupy     SpikingJelly's CUDA kernels
    triton   SpikingJelly's Triton kernels

Each is a function `(dynamics, drive, w) -> (spikes, trace or None)`, both `[T, B, ...]`; `w` is plif's parameter.
SpikingJelly takes seconds to import, so that happens only where it is used.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from neurons import fused
from neurons.dynamics import Drive, Dynamics
from neurons.errors import UserError
from neurons.registry import BACKENDS
from neurons.settings import nearest

Outcome = tuple[Tensor, Tensor | None]
Run = Callable[[Dynamics, Drive, Tensor | None], Outcome]


_HAS_SURROGATES = {"cupy": ("atan", "sigmoid", "triangle", "rectangle"), "triton": ("atan", "sigmoid", "triangle")}
"""Those of ours that SpikingJelly has as kernels, with every sharpness."""


def choose(requested: str, dynamics: Dynamics, device: torch.device, dtype: torch.dtype) -> str:
    """The backend that runs `dynamics` on currents of that device and type: the one requested, or for `auto` the best.

    Raises:
        UserError: no such backend, or it cannot run here; the message says what to install or to ask for instead.
    """
    if requested not in BACKENDS:
        raise UserError(f"there is no backend {requested!r}{nearest(requested, BACKENDS)}")
    if requested == "auto":
        # cupy before fused on a GPU until fused is measured faster there
        best = ("cupy", "fused", "plain") if device.type == "cuda" else ("fused", "plain")
        return next(name for name in best if _obstacle(name, dynamics, device, dtype) is None)
    if (obstacle := _obstacle(requested, dynamics, device, dtype)) is not None:
        raise UserError(f"backend {requested!r} {obstacle}")
    return requested


def likely_device(requested: str) -> torch.device:
    """Where currents will probably lie: what a population assumes before it has seen one."""
    gpu = torch.cuda.is_available() and (requested != "fused" or fused.obstacle(torch.device("cuda"), None) is None)
    return torch.device("cuda" if gpu else "cpu")


def _obstacle(backend: str, dynamics: Dynamics, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why `backend` cannot run, as the end of a sentence; None where it can."""
    if backend == "plain":
        return None
    if backend == "fused":
        return fused.obstacle(device, dtype)
    if dynamics.kind == "alif":
        return "has no alif: SpikingJelly has none; ask for fused, plain or auto"
    return None if backend == "torch" else _gpu_obstacle(backend, dynamics, device, dtype)


def _gpu_obstacle(backend: str, dynamics: Dynamics, device: torch.device, dtype: torch.dtype) -> str | None:
    if not torch.cuda.is_available():
        return "needs a CUDA GPU, and torch sees none; ask for auto, fused or torch"
    if (missing := _missing(backend)) is not None:
        return missing
    if device.type != "cuda":
        return f"runs on a CUDA GPU, and the current lies on {device.type}; move it, or ask for auto"
    if dtype not in (torch.float32, torch.float16):
        return f"takes float32 or float16, not {str(dtype).removeprefix('torch.')}; ask for plain or auto"
    if dynamics.surrogate.name not in (known := _HAS_SURROGATES[backend]):
        return f"has no surrogate {dynamics.surrogate.name!r}; it has {', '.join(known)}"
    return None


@cache
def _missing(backend: str) -> str | None:
    if importlib.util.find_spec(backend) is None:
        return {
            "cupy": "is not installed: pip install 'snn-nas[cupy]' for CUDA 12, 'snn-nas[cupy13]' for CUDA 13",
            "triton": "is not installed: pip install triton",
        }[backend]
    if backend == "cupy":
        import cupy

        if not cupy.cuda.is_available():
            return "finds no usable CUDA: is the CuPy build (cupy-cuda12x or cupy-cuda13x) that of this driver?"
    return None


def _loop(step: Callable[[Tensor, Any], tuple[Tensor, Any]], state: Any, drive: Drive) -> Outcome:
    """Stack the spikes of `step` over time, from `state`."""
    spikes = []
    for x in drive.over_time():
        s, state = step(x, state)
        spikes.append(s)
    return _traced(torch.stack(spikes), drive)


@torch.no_grad()
def _traced(spikes: Tensor, drive: Drive) -> Outcome:
    """The spikes, and their exponential trace if one is wanted."""
    if drive.trace is None:
        return spikes, None
    trace = spikes.detach().clone()
    for t in range(1, len(trace)):
        trace[t].add_(trace[t - 1], alpha=drive.trace)
    return spikes, trace


def _plain(dynamics: Dynamics, drive: Drive, w: Tensor | None) -> Outcome:
    return _loop(partial(dynamics.step, w=w), dynamics.rest(drive.frame), drive)


def _torch(dynamics: Dynamics, drive: Drive, w: Tensor | None) -> Outcome:
    # SpikingJelly's nodes call these same functions, but in eval mode with a spike that has no gradient; and they
    # keep state. Its functions take any surrogate and hold nothing.
    from spikingjelly.activation_based import functional

    last = (dynamics.threshold, 0.0 if dynamics.hard else None, dynamics.surrogate, dynamics.detach_reset)

    def step(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if dynamics.kind == "if":
            out = functional.if_step(x, v, *last)
        elif w is None:
            out = functional.lif_step(x, v, dynamics.tau, dynamics.decay_input, *last)
        else:
            out = functional.plif_step(x, v, w, dynamics.decay_input, *last)
        return out[0], out[1]

    return _loop(step, torch.zeros_like(drive.frame), drive)


def _kernel(dynamics: Dynamics, drive: Drive, w: Tensor | None, *, backend: str) -> Outcome:
    """SpikingJelly's CuPy or Triton kernels, through its stateless functions."""
    from spikingjelly.activation_based import functional

    current = drive.current if drive.steps is None else drive.current.expand(drive.steps, *drive.current.shape)
    leak: dict[str, tuple[Any, ...]] = {
        "if": (),
        "lif": (dynamics.tau, dynamics.decay_input),
        "plif": (w, dynamics.decay_input),
    }
    spikes, _, _ = getattr(functional, f"{dynamics.kind}_multi_step_{backend}")(
        current.contiguous(),
        torch.zeros_like(current[0], memory_format=torch.contiguous_format),
        *leak[dynamics.kind],
        dynamics.threshold,
        0.0 if dynamics.hard else None,
        _spikingjelly_surrogate(dynamics),
        dynamics.detach_reset,
        False,
    )
    return _traced(spikes, drive)


def _spikingjelly_surrogate(dynamics: Dynamics) -> Any:
    from spikingjelly.activation_based import surrogate

    kind, alpha = {
        "atan": (surrogate.ATan, 2.0),
        "sigmoid": (surrogate.Sigmoid, 4.0),
        "triangle": (surrogate.PiecewiseQuadratic, 1.0),
        "rectangle": (surrogate.Rect, 1.0),
    }[dynamics.surrogate.name]
    return kind(alpha=alpha * dynamics.surrogate.sharpness)


RUN: dict[str, Run] = {
    "plain": _plain,
    "torch": _torch,
    "fused": fused.run,
    "cupy": partial(_kernel, backend="cupy"),
    "triton": partial(_kernel, backend="triton"),
}
