"""Claim: on a GPU our fused LIF is at least as fast as SpikingJelly's CuPy and Triton kernels, with the same spikes.

Conditions: the backends of `neurons.backends`, ATan, soft and detached reset, tau 2, in one process; each shape in each
type that a backend takes. torch's benchmark timer waits for the device and repeats for at least a second. "Bytes" is a
copy of as much memory as the job must read and write: forward x and s, backward x, ds and dx. Spikes are compared with
those of the plain loop: SpikingJelly's CuPy multiplies by 1 / tau where torch divides, so a few may differ.

    python -m benchmarks.lif_backends --device cuda --out benchmarks/results/lif_cuda.json
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from benchmarks.common import record
from neurons import population
from neurons.errors import UserError

BACKENDS = ("fused", "cupy", "triton", "torch", "plain")
SHAPES = ([4, 128, 64, 32, 32], [4, 256, 128, 16, 16], [32, 32, 64, 32, 32])
TYPES = {"float32": torch.float32, "float16": torch.float16}


def measure(backend: str, x: Tensor, grad: Tensor, seconds: float) -> dict[str, Any]:
    """Milliseconds of a backend, and how its spikes differ from the plain loop's; or why it cannot run."""
    try:
        return _measure(backend, x, grad, seconds)
    except UserError as error:
        return {"cannot": str(error)}
    except Exception as error:  # a peer that breaks must not take the others' figures along
        return {"broke": f"{type(error).__name__}: {error}"[:500]}


def _measure(backend: str, x: Tensor, grad: Tensor, seconds: float) -> dict[str, Any]:
    neurons = population.build("lif", backend=backend).to(x.device)
    plain = population.build("lif", backend="plain").to(x.device)
    leaf = x.clone().requires_grad_()

    def forward() -> None:
        with torch.no_grad():
            neurons(x)

    def both() -> None:
        leaf.grad = None
        neurons(leaf).backward(grad)

    with torch.no_grad():
        spikes, reference = neurons(x), plain(x)
    return {
        "forward_ms": clock(forward, seconds),
        "forward_backward_ms": clock(both, seconds),
        "spikes_that_differ": int((spikes != reference).sum()),
        "spikes": int(reference.count_nonzero()),
    }


def clock(job: Any, seconds: float) -> float:
    """The median of one run, in milliseconds."""
    timer = Timer("job()", globals={"job": job}, num_threads=torch.get_num_threads())
    return round(1e3 * timer.blocked_autorange(min_run_time=seconds).median, 4)


def moved(x: Tensor, seconds: float) -> dict[str, float]:
    """What moving the bytes alone takes."""
    source, target = x.new_empty(5 * x.numel() // 2), x.new_empty(5 * x.numel() // 2)
    one = slice(0, x.numel())
    forward = clock(lambda: target[one].copy_(source[one]), seconds)
    return {"forward_ms": forward, "forward_backward_ms": clock(lambda: target.copy_(source), seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--shape", type=int, nargs="+", help="T, B and the rest; by default three of them")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each timing, at least")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = []
    for shape in [options.shape] if options.shape else SHAPES:
        for name, kind in TYPES.items():
            x = torch.randn(shape, device=options.device).to(kind)
            grad = torch.rand_like(x)
            times = {backend: measure(backend, x, grad, options.seconds) for backend in BACKENDS}
            rows.append({"shape": shape, "type": name, "backends": times, "bytes": moved(x, options.seconds)})
            print(shape, name, {k: v.get("forward_backward_ms", "-") for k, v in times.items()}, flush=True)
    record("lif_backends", {"rows": rows}, options.out, "cuda:0" if options.device == "cuda" else "cpu")


if __name__ == "__main__":
    main()
