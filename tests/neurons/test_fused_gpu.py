"""The CUDA source without a GPU: NVRTC compiles it for two architectures, and a C++ compiler runs it on the host."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import site
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from neurons import fused_gpu, population
from neurons.dynamics import Drive, Dynamics
from neurons.registry import POPULATIONS, SURROGATES
from tests.contracts.population import PopulationContract, assert_close

gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or fused_gpu.obstacle(torch.float32) is not None, reason="no GPU with CuPy"
)


def _options(name: str, wide: int, drive: Drive, **settings: Any) -> tuple[str, ...]:
    dynamics = population.build(name, settings, backend="plain").dynamics
    return fused_gpu.options(dynamics, drive, name == "plif", wide)


@cache
def _nvrtc() -> ctypes.CDLL | None:
    """The compiler from nvidia-cuda-nvrtc or nvidia-cuda-nvrtc-cu12, which comes without the rest of CUDA."""
    for folder in map(Path, site.getsitepackages()):
        for path in sorted(folder.glob("nvidia/*/lib/libnvrtc.so.*")):
            for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
                ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
            return ctypes.CDLL(str(path))
    return None


def _compile(options: tuple[str, ...]) -> str:
    """NVRTC's log if it fails, else nothing."""
    nvrtc = _nvrtc()
    assert nvrtc is not None
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    code = fused_gpu.source().encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), code, b"fused_lif.cu", 0, None, None) == 0
    encoded = [option.encode() for option in options]
    result = nvrtc.nvrtcCompileProgram(program, len(encoded), (ctypes.c_char_p * len(encoded))(*encoded))
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() if result or log.value.strip() else ""


@pytest.mark.skipif(_nvrtc() is None, reason="no NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
@pytest.mark.parametrize(("name", "dtype"), zip(POPULATIONS, itertools.cycle(fused_gpu.TYPES), strict=False))
def test_it_compiles_without_a_warning(architecture: str, name: str, dtype: torch.dtype) -> None:
    x = torch.zeros(4, 1, dtype=dtype)
    drives = itertools.cycle((Drive(x), Drive(x, None, 0.5), Drive(x, 3), Drive(torch.zeros(100, 1, dtype=dtype))))
    choices = itertools.cycle(itertools.product(("soft", "hard"), (True, False)))
    for bump, drive, (reset, detach) in zip(SURROGATES, drives, choices, strict=False):
        wide = fused_gpu.width(1 << 20, drive.length, dtype.itemsize)
        options = _options(name, wide, drive, surrogate=bump, reset=reset, detach_reset=detach)
        assert _compile((*options, f"-arch={architecture}")) == ""


HOST = """
#include <math.h>
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(n)
#define __shared__ static
#define __align__(n) alignas(n)
#define __restrict__
#define __syncthreads()
static struct { long long x; } blockIdx, threadIdx;
"""
# neuron by neuron: a block of one thread, so that nothing has to wait for another
LOOP = """
#define CONSTANTS leak, gain, decay, threshold, sharpness, rho, beta, trace_decay, rate
extern "C" void host_forward(NEURON, long long size, const float *x, long long xs, float *s, float *r) {
    for (blockIdx.x = 0; blockIdx.x * WIDE < size; blockIdx.x++)
        forward(CONSTANTS, size, x, xs, s, r);
}
extern "C" void host_backward(NEURON, long long size, const float *x, long long xs, const float *g, long long gs,
                              float *gx, float *partial) {
    for (blockIdx.x = 0; blockIdx.x * WIDE < size; blockIdx.x++)
        backward(CONSTANTS, size, x, xs, g, gs, gx, partial);
}
"""


def _on_host(folder: Path, options: tuple[str, ...]) -> ctypes.CDLL:
    macros = [option for option in options if option.startswith("-D") and not option.startswith("-DTHREADS")]
    text, library = folder / "host.cpp", folder / f"{abs(hash(options))}.so"
    text.write_text(HOST + fused_gpu.source() + LOOP)
    flags = ["-O1", "-std=c++14", "-ffp-contract=off", "-w", "-fPIC", "-shared", "-DTHREADS=1"]
    subprocess.run(["c++", *flags, *macros, str(text), "-o", str(library)], check=True, timeout=60)
    return ctypes.CDLL(str(library))


def _call(function: Any, dynamics: Dynamics, *args: torch.Tensor | int | None) -> None:
    """Arguments as `_launch` hands them to CuPy: `numpy.int64` for what is no real number."""
    constants = map(ctypes.c_float, fused_gpu.constants(dynamics, 0.5))
    function(*constants, *(ctypes.c_int64(int(fused_gpu._argument(each, numpy))) for each in args))


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("lif", {"reset": "soft", "surrogate": "atan"}),
        ("lif", {"reset": "hard", "surrogate": "sigmoid", "decay_input": False, "detach_reset": False}),
        ("if", {"reset": "soft", "surrogate": "triangle", "detach_reset": False}),
        ("plif", {"reset": "hard", "surrogate": "fast_sigmoid"}),
        ("plif", {"reset": "soft", "surrogate": "rectangle", "decay_input": False}),
        ("alif", {"reset": "soft", "surrogate": "atan", "detach_reset": False}),
    ],
)
def test_its_mathematics_is_that_of_the_plain_loop(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    length, size, wide = 5, 64, 4
    torch.manual_seed(0)
    x, weight = torch.randn(length, size) * 1.5 + 0.3, torch.randn(length, size)
    p = population.build(name, settings, backend="plain")
    if p.w is not None:
        with torch.no_grad():
            p.w.add_(0.7)  # or the rate is still 1 / tau, which the kernels have as a constant
    leaf = x.clone().requires_grad_()
    spikes, trace = p.forward_with_trace(leaf, 0.5)
    spikes.backward(weight)
    rate = None if p.w is None else p.w.detach().sigmoid()

    host = _on_host(tmp_path, _options(name, wide, Drive(x, None, 0.5), **settings))
    found, low, grad, partial = (torch.empty_like(x) for _ in range(4))
    _call(host.host_forward, p.dynamics, rate, size, x, size, found, low)
    _call(host.host_backward, p.dynamics, rate, size, x, size, weight, size, grad, partial)
    assert torch.equal(found, spikes)
    assert_close(low, trace)
    assert leaf.grad is not None
    assert_close(grad, leaf.grad)
    if p.w is not None and rate is not None:
        assert p.w.grad is not None
        mine = float(partial.flatten()[: size // wide].sum() * rate * (1 - rate))
        assert abs(mine - float(p.w.grad)) < 1e-5 * float(leaf.grad.abs().sum())


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_a_constant_current_s_gradient_is_summed(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(64) * 1.5 + 0.3, torch.randn(5, 64)
    p, leaf = population.build("lif", backend="plain"), x.clone().requires_grad_()
    spikes = p(leaf, steps=5)
    spikes.backward(weight)
    host = _on_host(tmp_path, _options("lif", 4, Drive(x, 5)))
    found, grad = torch.empty(5, 64), torch.empty(64)
    _call(host.host_forward, p.dynamics, None, 64, x, 0, found, found)
    _call(host.host_backward, p.dynamics, None, 64, x, 0, weight, 64, grad, grad)
    assert torch.equal(found, spikes)
    assert leaf.grad is not None
    assert_close(grad, leaf.grad)


def test_a_thread_takes_what_fits() -> None:
    x = torch.zeros(65)
    assert fused_gpu.width(64, 4, 4) == 4
    assert fused_gpu.width(64, 4, 2) == 8
    assert fused_gpu.width(64, 32, 4) == 1
    assert fused_gpu.width(64, 32, 2) == 2
    assert fused_gpu.width(62, 4, 4) == 2
    assert fused_gpu.width(63, 4, 4) == 1
    assert fused_gpu.width(64, 4, 4, x[1:]) == 1


class _OnGpu(PopulationContract):
    backend = "fused"
    device = "cuda"


for _name in POPULATIONS:
    _case = type(f"Test_{_name}_fused_gpu", (_OnGpu,), {"name": _name, "__module__": __name__})
    globals()[_case.__name__] = pytest.mark.gpu(gpu(_case))
