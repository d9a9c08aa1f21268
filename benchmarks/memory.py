"""Peak memory of a job on a CPU: what torch's allocator told the profiler, and nothing that the C library keeps."""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import accumulate

import torch


def peak(job: Callable[[], object]) -> int:
    """Bytes at the worst moment of the job, over those before it."""
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()  # or what others left behind is freed meanwhile, and the job looks smaller
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            job()
    finally:
        if collecting:
            gc.enable()
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    return max(accumulate(change for _, change in changes))
