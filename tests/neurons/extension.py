"""Whether our kernels for a CPU can run here."""

from __future__ import annotations

import pytest
import torch

from neurons import fused

built = fused.obstacle(torch.device("cpu"), torch.float32) is None
needs_build = pytest.mark.skipif(not built, reason="the C extension is not built")
