"""Several processes, one training: `torchrun --nproc-per-node N -m snn_nas train ...`, one process a GPU.

Every process holds the whole network and draws the same random numbers. It learns from its own equal share of each
batch; then gradients are averaged, whoever wrote them: autograd, or a rule into `weight.grad`. Whatever a norm or a
rule takes as a mean over the batch is one over all shares (`rules.across`). So all processes take the same step, and
what is learned is what one process would learn from the whole batch, up to rounding. torch's DistributedDataParallel
is not used: it hooks into one backward pass from one loss, and here rules add their own roots and write gradients
without one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import Tensor, nn
from torch import distributed as dist

from neurons.errors import UserError
from rules import across
from snn_nas.data import Split
from snn_nas.network import Network
from snn_nas.prediction import predict

PATIENCE = timedelta(hours=1)
"""The others wait so long for the first one, which alone measures and writes."""


def join(device: str) -> None:
    """Meet the other processes, if torchrun started this one; on `cuda` each takes its own GPU.

    Raises:
        UserError: there are more processes on this machine than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise UserError(f"torchrun --nproc-per-node: there are {torch.cuda.device_count()} GPUs, one for a process")
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)


def leave() -> None:
    """Part from the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


def first() -> bool:
    """Whether this process is the one that writes and reports."""
    return rank() == 0


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if across.processes() > 1 else 0


@contextmanager
def in_turn() -> Iterator[None]:
    """The first process goes through the block before all others do."""
    if not first():
        _meet()
    yield
    if first():
        _meet()


def _meet() -> None:
    if across.processes() > 1:
        dist.all_reduce(torch.zeros(1))


def agree(number: int) -> bool:
    """Whether all processes say the same number."""
    if across.processes() == 1:
        return True
    ends = torch.tensor([number, -number])
    dist.all_reduce(ends, dist.ReduceOp.MAX)
    return bool(ends[0] == -ends[1])


def check_batch(batch_size: int) -> None:
    """Raise UserError where a batch has no equal shares."""
    if batch_size % across.processes():
        raise UserError(f"batch_size={batch_size} is no multiple of {across.processes()} processes: name one that is")


def share(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """This process's share of a batch; the last one's odd images, fewer than there are processes, are left out.

    Args:
        images: `[B, C, H, W]`, or recordings `[T, B, C, H, W]`.
        labels: `[B]` or `[B, classes]`.
    """
    each = len(labels) // across.processes()
    mine = slice(rank() * each, (rank() + 1) * each)
    return images.narrow(images.dim() - 4, mine.start, each), labels[mine]


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Every parameter's gradient becomes its mean over all processes: one sum over processes for all of them."""
    if across.processes() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    flat = across.mean(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def equalise(*modules: nn.Module) -> None:
    """Everybody takes over the first process's parameters and buffers. Nobody goes on before all are here."""
    if across.processes() == 1:
        return
    for module in modules:
        for value in module.state_dict().values():
            whole = value.contiguous()
            dist.broadcast(whole, 0)
            value.copy_(whole)


def accuracy(network: Network, split: Split, device: torch.device | str) -> float:
    """The share of a split that is classified rightly, each process seeing its part of it."""
    share_of = -(-len(split) // across.processes())
    mine = split.after(rank() * share_of).first(share_of)
    hits = torch.zeros((), dtype=torch.float64, device=device)
    if len(mine):
        hits += (predict(network, mine, device=device).cpu() == mine.labels.cpu()).sum()
    return float(across.mean(hits)) * across.processes() / len(split)
