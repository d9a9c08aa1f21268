"""A pretended accelerator: its tensors compute on the CPU, say that they lie elsewhere, and refuse to meet the CPU's.

CI has no GPU. But most of what breaks code on its first GPU shows here too: a tensor that was not moved along, a random
number from the wrong generator, a number that Python waits for in the middle of a batch. What is computed here is what
the CPU computes, to the last bit, so that a difference is a mistake. What it cannot show is what kernels of a real
device do, and mixed precision.

    with here() as waits:
        model.to("elsewhere")(images.to("elsewhere"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "elsewhere"
_ops = torch.ops.aten
_COPIES = (_ops.copy_.default, _ops._to_copy.default)
_READS = (_ops._local_scalar_dense.default, _ops.equal.default, _ops.nonzero.default, _ops._unique2.default)
_INDEXED = (_ops.index.Tensor, _ops.index_put.default, _ops.index_put_.default, _ops._index_put_impl_.default)
"""Operations whose second argument, the indices, may lie on the CPU."""


class Elsewhere(Tensor):
    """A tensor that lies `elsewhere`; `inner` is where its numbers are."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> Elsewhere:
        made: Elsewhere = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        raise RuntimeError(f"{func} outside of `here`")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved as a CPU tensor, as `map_location` would load it."""
        return self.inner.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.cpu().tolist()


@contextmanager
def here() -> Iterator[list[str]]:
    """Within, there is a device `elsewhere`. Gives the names of all operations for which Python waited for it."""
    register()
    mode = _Mode()
    with mode:
        yield mode.waits


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        given = tree.tree_leaves((args, named))
        from_there = any(isinstance(each, Elsewhere) for each in given)
        to_there = _is_there(named["device"]) if named.get("device") is not None else None
        if not from_there and not to_there:
            return func(*args, **named)
        _refuse_two_devices(func, given, args)
        if _waits(func, args, named, from_there, to_there):
            self.waits.append(str(func))
        inside, named_inside = tree.tree_map(_inside, (args, named))
        out = func(*inside, **named_inside)
        if func is _ops.copy_.default:
            return args[0]
        if to_there is False:
            return out
        outside = tree.tree_map(lambda each: Elsewhere(each) if isinstance(each, Tensor) else each, out)
        return return_and_correct_aliasing(func, args, named, outside) if from_there else outside


def _waits(func: Any, args: Any, named: Mapping[str, Any], from_there: bool, to_there: bool | None) -> bool:
    """Whether Python waits until a GPU has done all it was given to do: for numbers from it, and for copies to it that
    are not `non_blocking`, among them indices on the CPU.
    """
    if func in _INDEXED and isinstance(args[0], Elsewhere):
        indices = [each for each in args[1] if each is not None]
        return any(not isinstance(each, Elsewhere) or each.dtype in (torch.bool, torch.uint8) for each in indices)
    if func is _ops.copy_.default:
        into, source = (isinstance(each, Elsewhere) for each in args[:2])
        return into != source and (source or not (named.get("non_blocking") or any(args[2:])))
    if func is _ops._to_copy.default and to_there and not from_there:
        return not named.get("non_blocking")
    return func in _READS or (from_there and to_there is False)


def _is_there(device: Any) -> bool:
    return torch.device(device).type == NAME


def _inside(given: Any) -> Any:
    if isinstance(given, Elsewhere):
        return given.inner
    return torch.device("cpu") if isinstance(given, torch.device) and _is_there(given) else given


def _refuse_two_devices(func: Any, given: Sequence[Any], args: Any) -> None:
    """As a GPU: only numbers of no dimension, copies and indices may come from the CPU, and no random generator."""
    if any(isinstance(each, torch.Generator) for each in given):
        raise RuntimeError(f"{func}: a generator of the CPU for a tensor that is {NAME}")
    if func in _COPIES:
        return
    if func in _INDEXED and isinstance(args[0], Elsewhere):
        given = tree.tree_leaves(args[2:])
    for each in given:
        if isinstance(each, Tensor) and not isinstance(each, Elsewhere) and each.dim():
            raise RuntimeError(f"{func}: tensors of two devices, {NAME} and cpu {tuple(each.shape)}")


@cache
def register() -> None:
    """Once, before the process's first backward pass: torch learns the name, and that random numbers are the CPU's."""
    _setup_privateuseone_for_python_backend(NAME)
    module: Any = getattr(torch, NAME)
    functions: dict[str, Callable[..., Any]] = {
        "get_amp_supported_dtype": lambda: [torch.bfloat16],
        "get_rng_state": lambda device=None: torch.get_rng_state(),
        "set_rng_state": lambda state, device=None: torch.set_rng_state(state),
        "manual_seed_all": lambda seed: None,
    }
    for name, function in functions.items():
        setattr(module, name, function)
