from __future__ import annotations

import pkgutil
import subprocess
import sys
from typing import Any

import pytest
import torch

from neurons import backends, fused, fused_cpu, population
from neurons.errors import UserError
from tests.neurons.extension import needs_build

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="about machines without a GPU")


HOME = {
    "plain": "neurons.dynamics.Dynamics.step",
    "torch": "spikingjelly.activation_based.functional.lif_step",
    "fused": "neurons.fused_cpu.forward",
}
"""What must run, and where no other backend passes."""


@pytest.mark.parametrize("backend", ["plain", "torch", pytest.param("fused", marks=needs_build)])
def test_what_is_named_is_what_runs(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All give the same spikes, so that a name alone would prove nothing."""
    ran = []

    def spy(name: str, run: Any) -> Any:
        def spied(*given: Any, **named: Any) -> Any:
            ran.append(name)
            return run(*given, **named)

        return spied

    for name, place in HOME.items():
        monkeypatch.setattr(place, spy(name, pkgutil.resolve_name(place)))
    population.build("lif", backend=backend)(torch.ones(3, 2, 4))
    assert set(ran) == {backend}


@no_gpu
@pytest.mark.parametrize("backend", ["cupy", "triton"])
def test_a_gpu_backend_without_a_gpu_is_an_error(backend: str) -> None:
    with pytest.raises(UserError, match=f"backend '{backend}' needs a CUDA GPU, and torch sees none; ask for auto"):
        population.build("lif", backend=backend)


@pytest.mark.parametrize(("backend", "install"), [("cupy", r"snn-nas\[cupy\]"), ("triton", "pip install triton")])
def test_a_missing_package_is_an_error_that_says_what_to_install(
    backend: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    backends._missing.cache_clear()
    with pytest.raises(UserError, match=install):
        population.build("lif", backend=backend)
    backends._missing.cache_clear()


def test_auto_on_a_gpu_takes_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backends, "_missing", lambda backend: None)
    for settings, dtype, expected in (
        ({}, torch.float32, "cupy"),
        ({"surrogate": "fast_sigmoid"}, torch.float32, "plain"),
        ({}, torch.bfloat16, "plain"),
    ):
        dynamics = population.build("lif", settings, backend="plain").dynamics
        assert backends.choose("auto", dynamics, torch.device("cuda"), dtype) == expected
    with pytest.raises(UserError, match="'triton' has no surrogate 'rectangle'"):
        population.build("lif", {"surrogate": "rectangle"}, backend="triton")
    p = population.build("lif", backend="cupy")
    with pytest.raises(UserError, match="the current lies on cpu"):
        p(torch.zeros(1, 1))


@no_gpu
def test_auto_says_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    built = fused.obstacle(torch.device("cpu"), torch.float32) is None
    p = population.build("lif")
    assert p.backend == ("fused" if built else "plain")
    p(torch.zeros(2, 2, dtype=torch.float64))
    assert p.backend == "plain"
    monkeypatch.setattr(fused_cpu, "library", lambda: None)
    assert population.build("lif").backend == "plain"
    with pytest.raises(UserError, match=r"'fused' is not built: .*pip install"):
        population.build("lif", backend="fused")


@needs_build
def test_fused_refuses_what_it_cannot_run() -> None:
    with pytest.raises(UserError, match="'fused' takes float32 on a CPU, not float64; ask for auto or plain"):
        population.build("lif", backend="fused")(torch.zeros(2, 2, dtype=torch.float64))


def test_unknown_names_are_errors_that_name_the_nearest() -> None:
    for wrong, message in (
        (lambda: population.build("liff"), "no population 'liff'; did you mean 'lif'"),
        (lambda: population.build("lif", backend="fuse"), "no backend 'fuse'; did you mean 'fused'"),
        (lambda: population.build("lif", {"taw": 2.0}), "lif has no setting 'taw'; did you mean 'tau'"),
        (lambda: population.build("lif", {"tau": 1.0}), "lif: tau is at least 1.01, not 1.0"),
        (lambda: population.build("lif", {"reset": "none"}), "lif: reset is one of soft, hard, not none"),
        (lambda: population.build("alif", backend="torch"), "'torch' has no alif: SpikingJelly has none"),
    ):
        with pytest.raises(UserError, match=message):
            wrong()


def test_light_imports_stay_light() -> None:
    """The registry needs no torch, auto on a CPU no SpikingJelly, and our OpenMP is torch's."""
    code = """
import sys
import neurons.registry
assert "torch" not in sys.modules
import torch
from neurons import encodings, population
p = population.build("lif")
p(torch.ones(2, 2, 3, requires_grad=True)).sum().backward()
assert "spikingjelly" not in sys.modules
assert "cupy" not in sys.modules
try:
    maps = open("/proc/self/maps").read()
except OSError:
    maps = ""
assert len({line.split()[-1] for line in maps.splitlines() if "libgomp" in line}) <= 1
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
