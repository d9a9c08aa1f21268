"""A strided convolution of 1x1 sees what it would see, and never reaches oneDNN as one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from rules.synapse import backward, run, seen


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("sides", [(8, 8), (7, 5)])
@pytest.mark.parametrize("stride", [2, 3, (2, 1)])
def test_positions_are_left_out_beforehand(stride: int | tuple[int, int], sides: tuple[int, int], groups: int) -> None:
    torch.manual_seed(0)
    synapse = nn.Conv2d(4, 6, 1, stride, groups=groups).double()
    x = torch.randn(3, 4, *sides, dtype=torch.float64).contiguous(memory_format=torch.channels_last).requires_grad_()
    known = x.detach().clone().requires_grad_()
    current, expected = run(synapse, x), synapse(known)
    torch.testing.assert_close(current, expected)
    error = torch.randn_like(expected)
    below, weight = torch.autograd.grad(current, [x, synapse.weight], error)
    down, up = torch.autograd.grad(expected, [known, synapse.weight], error)
    torch.testing.assert_close(below, down)
    torch.testing.assert_close(weight, up)
    for found, wanted in zip(backward(synapse, error, x.detach(), synapse.weight.detach()), (down, up), strict=True):
        torch.testing.assert_close(found, wanted)
    assert seen(synapse, x)[1] == (1, 1)


@pytest.mark.parametrize(
    "options", [{"stride": 2, "kernel_size": 3}, {"kernel_size": 1}, {"kernel_size": 1, "padding": 1, "stride": 2}]
)
def test_others_see_everything(options: dict[str, int]) -> None:
    synapse, x = nn.Conv2d(4, 6, **options), torch.randn(2, 4, 8, 8)
    assert seen(synapse, x) == (x, synapse.stride)


LIBRARY = Path("/lib/x86_64-linux-gnu/libc_malloc_debug.so.0")


@pytest.mark.skipif(not LIBRARY.exists(), reason="needs glibc's checks of the heap")
def test_nothing_is_written_beyond_its_memory() -> None:
    """Few channels, channels last: on AVX2 the process died of it, some time later."""
    text = """
        import torch
        from torch import nn
        from rules.synapse import backward, run, seen
        synapse, kept = nn.Conv2d(4, 2, 1, 2), []
        for turn in range(60):
            x = torch.randn(24, 4, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
            run(synapse, x).square().sum().backward()
            kept.append(backward(synapse, torch.randn(24, 2, 4, 4), x.detach(), synapse.weight.detach()))
            kept = kept[turn % 2:]
    """
    checked = {**os.environ, "LD_PRELOAD": str(LIBRARY), "MALLOC_CHECK_": "3"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], env=checked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
