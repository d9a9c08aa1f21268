"""One network's accuracy under every attack and corruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from snn_nas.network import Network
from snn_nas.robustness.attacks import ATTACKS, Effort, attack, right
from snn_nas.robustness.checks import checks
from snn_nas.robustness.corruptions import KINDS, SEVERITIES, corrupt
from snn_nas.robustness.substitute import Substitute, live


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        eps: sizes of the ball in which attacks move, ascending; pixels lie in `[0, 1]`.
        sharpness: factors on the pseudo-derivative's sharpness with which every gradient attack is tried; an image
            counts as broken if one of them breaks it.
        effort: of each attack.
    """

    eps: tuple[Fraction, ...] = (Fraction(2, 255), Fraction(4, 255), Fraction(8, 255))
    sharpness: tuple[float, ...] = (1.0, 4.0)
    effort: Effort = field(default_factory=Effort)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"eps": list(map(str, self.eps)), "sharpness": list(self.sharpness), **asdict(self.effort)}

    def steps(self, *, transfer: bool) -> int:
        """How often `measure` says that it got on."""
        return len(self.eps) * (len(ATTACKS) + transfer) + 1 + len(KINDS)


def measure(
    network: Network,
    images: Tensor,
    labels: Tensor,
    plan: Plan,
    *,
    twin: Network | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Accuracies on `images` `[N, C, H, W]` in `[0, 1]`, on whatever device they and the networks lie.

    An image counts under an attack if it is classified rightly before and after: whoever attacks may also leave an
    image as it is. `worst` counts the images that no attack of this network breaks. With a `twin`, `transfer` is the
    accuracy on the images that pgd found for that one.

    Raises:
        UserError: the network has no gradient at its pixels, or the attack library is missing.
    """
    models = [Substitute(network, factor) for factor in plan.sharpness]
    model = models[0]
    clean = right(model, images, labels)
    found: dict[str, Any] = {"images": len(labels), "accuracy": _share(clean), "attacks": {}}
    for eps in plan.eps:
        kept: dict[str, Tensor] = {}
        for name in ATTACKS:
            tried = models if name != "square" else models[:1]
            moved = [attack(name, each, images, labels, float(eps), plan.effort) for each in tried]
            kept[name] = torch.stack([clean, *(right(model, each, labels) for each in moved)]).all(0)
            on_step(f"{name} at eps = {eps}")
        kept["worst"] = torch.stack([*kept.values()]).all(0)
        if twin is not None:
            theirs = [Substitute(twin, factor) for factor in plan.sharpness]
            moved = [attack("pgd", each, images, labels, float(eps), plan.effort) for each in theirs]
            kept["transfer"] = torch.stack([clean, *(right(model, each, labels) for each in moved)]).all(0)
            on_step(f"transfer at eps = {eps}")
        found["attacks"][str(eps)] = {name: _share(each) for name, each in kept.items()}
    found["eps_1"] = _share(clean & right(model, attack("apgd", models[-1], images, labels, 1.0, plan.effort), labels))
    on_step("apgd at eps = 1")
    found["live_gradients"] = live(model, images, labels)
    found["corruptions"] = {}
    for kind in KINDS:
        found["corruptions"][kind] = _corrupted(model, images, labels, kind, plan.effort.seed)
        on_step(kind)
    found["corrupted"] = fmean(fmean(each) for each in found["corruptions"].values())
    found["checks"] = [asdict(check) for check in checks(found)]
    return found


def nothing(plan: Plan, *, transfer: bool) -> dict[str, Any]:
    """The record of a run that diverged: there is no network, and nothing is classified rightly."""
    attacks = dict.fromkeys((*ATTACKS, "worst", *(("transfer",) if transfer else ())), 0.0)
    return {
        "status": "diverged", "accuracy": 0.0, "attacks": {str(eps): dict(attacks) for eps in plan.eps},
        "corruptions": {kind: [0.0] * len(SEVERITIES) for kind in KINDS}, "corrupted": 0.0, "checks": [],
    }  # fmt: skip


def _corrupted(model: Substitute, images: Tensor, labels: Tensor, kind: str, seed: int) -> list[float]:
    """Accuracy at each severity."""
    generator = torch.Generator().manual_seed(seed)
    return [_share(right(model, corrupt(images, kind, severity, generator), labels)) for severity in SEVERITIES]


def _share(kept: Tensor) -> float:
    return float(kept.double().mean())
