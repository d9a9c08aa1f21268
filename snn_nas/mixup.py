"""Mix-up (Zhang et al. 2018, arXiv 1710.09412): a network learns from mixtures of two samples, and of their labels.

    x = l x_i + (1 - l) x_j,    y = l y_i + (1 - l) y_j,    l ~ Beta(alpha, alpha)

l is drawn once a batch and j is i permuted, as in the authors' code. Every loss and every rule's error takes the mixed
target: the readout's and a local head's cross-entropy, and what is broadcast (`rules.rule.Signals`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def mixup(
    images: Tensor, labels: Tensor, classes: int, alpha: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A batch mixed with itself.

    Args:
        images: `[B, C, H, W]`, or recordings `[T, B, C, H, W]`.
        labels: `[B]`, class indices.
        classes: how many there are.
        alpha: of the Beta distribution, above 0; 1 is uniform, towards 0 samples stay as they are.
        generator: of the CPU; it alone decides.

    Returns:
        Mixed images in their own shape, and each one's shares of the classes, float32 `[B, classes]`.
    """
    entropy = int(torch.randint(2**62, (), generator=generator))
    share = float(np.random.default_rng(entropy).beta(alpha, alpha))
    other = torch.randperm(len(labels), generator=generator).to(images.device, non_blocking=True)
    along = images.dim() - 4
    target = F.one_hot(labels, classes).float()
    return (
        torch.lerp(images.index_select(along, other), images, share),
        torch.lerp(target[other], target, share),
    )
