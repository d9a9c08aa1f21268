"""Measures how far down an error is worth something: each layer's gradient against back-propagation's, by depth.

Claim: behind every transport but the exact one, a layer's gradient turns away from the true one with the number of
layers above it. Sign-concordant ones (usf, brsf, frsf) keep it below 90 degrees in every layer; behind a random matrix
(fa) and a broadcast (dfa) it stands near 90 in all of them, and has not turned much after a short training.

Conditions: a chain of eight spiking convolutions at T=4 on CIFAR-10, the first at half size, without shortcuts; batches
in training mode. A network under a rule and one under bp have the same weights and see the same batches, so that their
forward passes are equal. For each layer: the angle between both gradients of the weights, in degrees, mean over
batches; the variance of a weight's gradient from batch to batch, mean over the weights, also against bp's; and its
share in the mean square of the gradient (1 is noise alone). At initialisation, and when the rule has trained the
network for a while.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import record
from snn_nas import data as data_sets
from snn_nas import network as networks
from snn_nas.controls import bp_twin, rule, single_rule
from snn_nas.data import Dataset
from snn_nas.genotype import Genotype, parse
from snn_nas.learning import learn
from snn_nas.network import Network
from snn_nas.report.style import LIGHT, canvas, drawing, resolution, rule_colour, stroke
from snn_nas.spaces import canonical
from snn_nas.tensorboard import angle
from snn_nas.training import Training, train

RULES = ("bp", "usf", "brsf", "frsf", "fa", "dfa", "dfa(feedback=shared)")
LINES = {"frsf": "--", "dfa(feedback=shared)": ":"}
"""So that brsf shows where both are equal, and two of one colour are told apart."""
STAGES = ("at initialisation", "after training")


def genotype(depth: int, channels: int) -> Genotype:
    layers = [
        f"conv(c={channels},down=avg)@bp/lif(threshold=0.5)",
        *[f"conv(c={channels})@bp/lif(threshold=0.5)"] * depth,
    ]
    return parse(f"chain(T=4){{ {'; '.join(layers[:depth])}; readout(grid=2)@delta~exact }}")


def gradients(network: Network, batches: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """For each hidden layer its weights' gradients, `[batches, weights]`."""
    network.train()
    found: dict[str, list[Tensor]] = {name: [] for name in network.layers if name != "readout"}
    for images, labels in batches:
        network.zero_grad(set_to_none=True)
        learn(network, images, labels, Training())
        for name, gradient in found.items():
            weight = network.layers[name].synapse.weight  # type: ignore[union-attr]
            gradient.append(weight.grad.flatten().double().cpu())  # type: ignore[union-attr, operator]
        for layer in network:
            layer.record = None
    return {name: torch.stack(each) for name, each in found.items()}


def compare(network: Network, data: Dataset, batches: list[tuple[Tensor, Tensor]]) -> list[dict[str, float]]:
    """One row a hidden layer, from the input up."""
    assert network.genotype is not None
    device = next(network.parameters()).device
    twin = networks.build(bp_twin(network.genotype), data.shape, data.classes, normalise=data.normalise).to(device)
    with torch.no_grad():
        for own, other in zip(twin, network, strict=True):
            own.synapse.load_state_dict(other.synapse.state_dict())
            own.norm.load_state_dict(other.norm.state_dict())
    state = {name: value.clone() for name, value in network.state_dict().items()}
    found, true = gradients(network, batches), gradients(twin, batches)
    network.load_state_dict(state)  # running statistics were moved
    rows = []
    for name, gradient in found.items():
        spread, reference = gradient.var(0).mean(), true[name].var(0).mean()
        rows.append(
            {
                "angle": statistics.fmean(map(angle, gradient, true[name])),
                "variance": float(spread),
                "variance_over_bp": float(spread / reference),
                "noise": float(spread / gradient.square().mean()),
            }
        )
    return rows


def measure(name: str, seed: int, data: Dataset, options: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    """Both stages of one rule."""
    text = canonical(single_rule(genotype(options.depth, options.channels), rule(name)), data.shape, data.classes)
    torch.manual_seed(seed)
    network = networks.build(text, data.shape, data.classes, normalise=data.normalise).to(options.device)
    shown = data.validation.batches(options.batch_size, device=options.device, drop_last=True)
    batches = [batch for batch, _ in zip(shown, range(options.batches), strict=False)]
    before = compare(network, data, batches)
    train(network, data, Training(epochs=options.epochs), seed=seed, device=options.device)
    return {STAGES[0]: before, STAGES[1]: compare(network, data, batches)}


def mean(runs: list[dict[str, list[dict[str, float]]]]) -> dict[str, list[dict[str, float]]]:
    """Over seeds."""
    return {
        stage: [
            {key: round(sum(row[key] for row in rows) / len(rows), 6 if key == "angle" else 12) for key in rows[0]}
            for rows in zip(*(run[stage] for run in runs), strict=True)
        ]
        for stage in STAGES
    }


def draw(rules: dict[str, dict[str, list[dict[str, float]]]], title: str, path: Path) -> None:
    """Angle and variance against depth, one column a stage."""
    with drawing(LIGHT):
        figure = canvas(8.4, 6.0)
        panels = figure.subplots(2, 2, sharex=True, sharey="row")
        for column, stage in enumerate(STAGES):
            for rule, stages in rules.items():
                depth = range(1, len(stages[stage]) + 1)
                style: dict[str, Any] = {
                    "color": stroke(rule_colour(rule.partition("(")[0]), LIGHT),
                    "marker": "o",
                    "ms": 4,
                    "lw": 1.6,
                }
                style |= {"label": rule, "ls": LINES.get(rule, "-")}
                panels[0][column].plot(depth, [row["angle"] for row in stages[stage]], **style)
                panels[1][column].semilogy(depth, [row["variance"] for row in stages[stage]], **style)
            panels[0][column].set_title(stage)
            panels[1][column].set_xlabel("layer, from the input")
        panels[0][0].set_ylabel("angle to bp's gradient, degrees")
        panels[1][0].set_ylabel("variance of a weight's gradient")
        panels[0][0].set_ylim(-3, 110)
        panels[1][1].legend(ncols=3, loc="center", bbox_to_anchor=(0.5, 0.4), columnspacing=1.0)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
        figure.savefig(path, dpi=resolution(figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10_jpeg")
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--train", type=int, default=1500, help="training images")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--picture", type=Path, help="file for the figure, .png")
    parser.add_argument("--out", help="file for the JSON record")
    options = parser.parse_args()
    held = options.batches * options.batch_size
    data = data_sets.load(options.data, train=options.train, validation=max(held, 100))
    rules = {}
    for name in options.rules.split(","):
        rules[name] = mean([measure(name, seed, data, options) for seed in range(options.seeds)])
        print(name, [[round(row["angle"]) for row in rows] for rows in rules[name].values()], flush=True)
    words = ("depth", "channels", "train", "epochs", "batches", "batch_size", "seeds")
    settings = {name: getattr(options, name) for name in words}
    record("gradient_by_depth", {"data": data.title, **settings, "rules": rules}, options.out, device=options.device)
    if options.picture:
        draw(rules, f"{data.title}: gradients by depth, {options.depth} layers, T=4", options.picture)


if __name__ == "__main__":
    main()
