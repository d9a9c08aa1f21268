"""Our own kernels as one differentiable operation: `fused_cpu` where the current lies on the CPU, `fused_gpu` on a GPU.

Forward reads the current and writes the spikes; backward reads the current and the spikes' gradient and writes the
current's. Nothing else of the sequence's size is read, written or kept. Spikes equal SpikingJelly's bit for bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol, cast, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from neurons import fused_cpu, fused_gpu
from neurons.dynamics import Drive, Dynamics, State


class Kernels(Protocol):
    """What `fused_cpu` and `fused_gpu` offer, for currents as `_laid_out` leaves them; `rate` is plif's 1 / tau."""

    def obstacle(self, dtype: torch.dtype | None) -> str | None:
        """Why they cannot run, as the end of a sentence; None where they can. No type stands for one that they take."""

    def forward(self, dynamics: Dynamics, rate: Tensor | None, drive: Drive) -> tuple[Tensor, Tensor | None]:
        """Spikes `[T, B, ...]`, and their trace where the drive asks for one."""

    def backward(
        self, dynamics: Dynamics, rate: Tensor | None, drive: Drive, grad: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """The gradients of the current, of its shape, and of a rate, from that of the spikes, laid out as they are."""


def _kernels(device: torch.device) -> Kernels:
    return cast(Kernels, fused_gpu if device.type == "cuda" else fused_cpu)


def obstacle(device: torch.device, dtype: torch.dtype | None) -> str | None:
    """Why the kernels cannot run there, as the end of a sentence; None where they can."""
    if device.type not in ("cpu", "cuda"):
        return f"runs on a CPU or a CUDA GPU, and the current lies on {device.type}; ask for auto or plain"
    return _kernels(device).obstacle(dtype)


def run(dynamics: Dynamics, drive: Drive, w: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """See `neurons.backends`."""
    rate = None if w is None else w.sigmoid()
    learning = drive.current.requires_grad or (rate is not None and rate.requires_grad)
    if learning and torch.is_grad_enabled():
        spikes, trace = _Fused.apply(drive.current, rate, dynamics, drive)  # type: ignore[no-untyped-call]
        return spikes, trace
    drive = replace(drive, current=_laid_out(drive))
    return _kernels(drive.current.device).forward(dynamics, rate, drive)


def advance(dynamics: Dynamics, current: Tensor, state: State) -> tuple[Tensor, State]:
    """One step on a CPU, of neurons with fixed constants; the gradient goes to the current alone.

    Forward reads the current and the state and writes the spikes and the next state, once each; backward keeps u.
    """
    current = _laid_out(Drive(current, steps=1))
    s, v, u, a = _Step.apply(current, _like(state.v, current), _like(state.a, current), dynamics)  # type: ignore[no-untyped-call]
    return s, State(v, u, a)


class _Step(torch.autograd.Function):
    """Spikes, v, u and a of a current, v and a."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, v: Tensor, a: Tensor | None, dynamics: Dynamics
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        s, state = fused_cpu.step(dynamics, current, State(v, v, a))
        ctx.dynamics = dynamics
        ctx.save_for_backward(state.u)
        ctx.mark_non_differentiable(*(part for part in state if part is not None))
        ctx.set_materialize_grads(False)  # or the state gets gradients of zeros, as large as it is
        return s, state.v, state.u, state.a

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, None, None, None]:
        if grad is None:
            return None, None, None, None
        (u,) = ctx.saved_tensors
        return fused_cpu.step_back(ctx.dynamics, u, _like(grad, u)), None, None, None


class _Fused(torch.autograd.Function):
    """Spikes and trace of a current and, for plif, of `rate = 1 / tau`."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, rate: Tensor | None, dynamics: Dynamics, drive: Drive
    ) -> tuple[Tensor, Tensor | None]:
        current = _laid_out(drive)
        ctx.save_for_backward(current, rate)
        ctx.dynamics, ctx.steps = dynamics, drive.steps
        spikes, trace = _kernels(current.device).forward(dynamics, rate, replace(drive, current=current))
        if trace is not None:
            ctx.mark_non_differentiable(trace)
        return spikes, trace

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor | None) -> tuple[Tensor, Tensor | None, None, None]:
        current, rate = ctx.saved_tensors
        drive = Drive(current, ctx.steps)
        frame = drive.frame
        if grad.stride(0) == 0:  # of a mean over time: one frame for all steps
            same = grad[0].stride() == frame.stride()
            grad = (grad[0] if same else torch.empty_like(frame).copy_(grad[0])).expand_as(grad)
        elif grad[0].stride() != frame.stride() or grad.stride(0) != frame.numel():
            grad = drive.empty_sequence().copy_(grad)
        grad_current, grad_rate = _kernels(grad.device).backward(ctx.dynamics, rate, drive, grad)
        return grad_current, grad_rate, None, None


@overload
def _like(tensor: Tensor, other: Tensor) -> Tensor: ...


@overload
def _like(tensor: Tensor | None, other: Tensor) -> Tensor | None: ...


def _like(tensor: Tensor | None, other: Tensor) -> Tensor | None:
    """The tensor with the other's shape, type and layout: itself, or a copy."""
    if tensor is None or (tensor.shape, tensor.stride(), tensor.dtype) == (other.shape, other.stride(), other.dtype):
        return tensor
    return torch.empty_like(other).copy_(tensor)


def _laid_out(drive: Drive) -> Tensor:
    """The current as it is where each step is one dense piece of memory, in whatever order; else a contiguous copy."""
    current, frame = drive.current, drive.frame
    if current.is_contiguous():
        return current
    # a layout survives empty_like exactly where it is dense and without overlap; on the meta device that costs nothing
    dense = torch.empty_like(frame, device="meta").stride() == frame.stride()
    return current if dense and drive.time_stride in (0, frame.numel()) else current.contiguous()
