"""Write docs/rules.md from the registry and the docstrings of the rules' own files; with --pictures, draw them too.

    python -m docs.make_rules --pictures --data cifar10_jpeg

What the rules are worth is taken from the record of `benchmarks/rules_learn.py`.

Each picture shows the first-layer filters that a rule learned from the same images and the same initial weights, on
whitened input, in a chain of one hidden layer. A test checks that the page is what this script writes.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks.readme_table import seeds
from rules.registry import SHORT, TRANSPORTS, Declaration, Pair, pair, rules

HERE = Path(__file__).parent
PAGE, PICTURES = HERE / "rules.md", HERE / "images" / "rules"
RECORD = HERE.parent / "benchmarks" / "results" / "rules_learn.json"
STUDIES = [RECORD.with_name(name) / "study.json" for name in ("study_fashion_mnist", "study_cifar10_small")]
WORTH = HERE / "images" / "rules_learn.png"
GROUPS = {
    "only": "every hidden layer under a rule that no error crosses",
    "deep": "three hidden layers under a rule that gets an error",
    "first": "the first of three layers, the other two under another rule",
}
COST = "chain(T=4){{conv(c=16)@{below}/lif; conv(c=16)@{rule}/lif; readout@delta~{carrier}}}"
PICTURE = (
    "chain(T=4,encoding=whiten){{conv(c=48,k=7,down=avg)@{rule}/lif(threshold=0.5); readout(grid=8)@delta~{carrier}}}"
)
RATE = 0.1

HEAD = """# The learning rules

A rule is a pair, *update / transport*: how a layer's own weights change, and what error, if any, the layers below
receive through it. What each one needs is declared in `rules/registry.py` and checked by the contract suite; the texts
are those of its file. `snn-nas rules` prints the table; [new_rule.md](new_rule.md) adds a rule.

*Norms* says what trains the scale and shift of a layer's norm: the error that arrives (and a learned time constant with
them), the rule itself, or nothing.

*Learning* is the energy of running and learning one sample, relative to `bp`'s, for the second of two layers of 16
channels of 3x3 on 16x16, T = 4, every tenth neuron of a step firing, by the 45nm_fp32 profile
(`snn_nas/energy/learning.py` says what is counted): an estimate of arithmetic, not of a chip.

The pictures of filters are of one run each: 48 filters of 7x7 on whitened CIFAR-10 (JPEG-75), one hidden layer, 10,000
images, 2 epochs, every rule from the same initial weights. The accuracies above them are those of that small network;
rules are compared [below](#what-they-are-worth).
"""


def main() -> None:
    """Write the page, and draw if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true")
    parser.add_argument("--data", default="cifar10_jpeg")
    parser.add_argument("--train", type=int, default=10_000)
    options = parser.parse_args()
    if options.pictures:
        draw(options.data, options.train)
    if RECORD.exists():
        draw_worth(json.loads(RECORD.read_text(encoding="utf-8")))
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page."""
    names = [*SHORT, *(name for name in rules() if name != "gradient")]
    parts = [HEAD, table(names), "## Transports\n", transports()]
    if RECORD.exists():
        parts.append(worth(json.loads(RECORD.read_text(encoding="utf-8"))))
    done: set[str] = set()
    for declaration in rules().values():
        module = declaration.implementation.partition(":")[0]
        if module not in done:
            done.add(module)
            parts.append(section(module))
    return "\n".join(parts)


def table(names: list[str]) -> str:
    """One row a name that a genotype may give."""
    reference = cost(pair("bp"))
    rows = ["| name | update / transport | error | surrogate | online | norms | learning | source |", "|" + "---|" * 8]
    for name in names:
        one = pair(name)
        d = one.declaration
        error = "its own loss" if d.readout else d.error
        shown = "-" if d.readout else f"{cost(one) / reference:.2f}"
        cells = [
            f"`{name}`",
            f"{d.update} / {one.transport if name in SHORT or len(d.transports) == 1 else 'any'}",
            error,
            "yes" if d.surrogate else "no",
            "yes" if d.online else "no",
            d.norms,
            shown,
            TRANSPORTS[one.transport] if name in SHORT and name != "bp" else d.source,
        ]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def transports() -> str:
    """The text of the transports' file."""
    return quoted("rules.transport")


def worth(record: dict[str, Any]) -> str:
    """What the rules came to, from the record of `benchmarks/rules_learn.py`."""
    settings = record["settings"]
    lines = [
        "## What they are worth\n",
        "![Accuracy of every rule](images/rules_learn.png)\n",
        f"{record['data']}: {settings['train']:,} training images, {settings['epochs']} epochs, T = {settings['T']}, "
        f"{seeds(record['rows'])}, {record['images_held_out']:,} held-out images; the test split stayed shut. "
        "Every rule of a group had as many tries, `frozen` too: of threshold and encoding, in the first group also "
        "of depth. Learning rates are as declared. `stdp`, `softhebb`, `rstdp` and `hippo` take a pass over the images "
        "for each layer besides the epochs. In points, over the seeds that both have: `over` is to `frozen`, in the "
        "third group in the same place, else at the depth that is best for it; `under` to `bp` in all three layers. "
        "The [record](../benchmarks/results/rules_learn.json) has every run, and its "
        "[journal](../benchmarks/results/rules_learn.runs.jsonl) the tuning too. `rank` is the effective rank of each "
        "layer's filters (Roy and Vetterli 2007), how diverse they are. The grid of `local` and the rate of learned "
        "feedback were chosen by single runs, seed 0, on the same held-out images, how long weights are kept under "
        f"fixed random feedback by such runs on the images for tuning. {devices(record)} With so few seeds nothing "
        "here is called significant.\n",
        behind(record),
    ]
    for group, title in GROUPS.items():
        rows = sorted((row for row in record["rows"] if row["group"] == group), key=lambda row: -row["mean"])
        lines += [
            f"**{title[0].upper()}{title[1:]}**\n",
            "| rule | accuracy, % | over | under | layers | rank |",
            "|" + "---|" * 6,
        ]
        for row in rows:
            spread = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}"
            over, under = (f"{100 * row[key]:+.1f}" for key in ("over_frozen", "under_bp"))
            ranks = zip(*(run["ranks"] for run in row["runs"]), strict=True)
            cells = [f"`{row['contestant']}`", f"{100 * row['mean']:.1f}{spread}", over, under, str(len(row["rules"]))]
            cells += [", ".join(f"{statistics.mean(layer):.0f}" for layer in ranks)]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def devices(record: dict[str, Any]) -> str:
    """Where the runs ran."""
    on: dict[str, list[str]] = {}
    for row in record["rows"]:
        for device in dict.fromkeys(run["device"] for run in row["runs"]):
            on.setdefault(device, []).append(f"`{row['contestant']}`")
    most, *others = sorted(on, key=lambda device: -len(on[device]))
    said = "".join(f", but {', '.join(on[device])} on {device.partition(', ')[0]}" for device in others)
    return f"All ran on {most.partition(', ')[0]}{said}."


def behind(record: dict[str, Any]) -> str:
    """Which rules are not known to be worth more than `frozen`: here, and in the studies."""
    from snn_nas.study.statistics import family

    rows = {row["contestant"]: row for row in record["rows"] if row["group"] != "first"}
    below = [f"`{name}`" for name, row in rows.items() if name != "frozen" and row["over_frozen"] <= 0.0]
    text = f"**Not above `frozen`:** {', '.join(below) or 'none'}."
    for path in STUDIES:
        study = json.loads(path.read_text(encoding="utf-8"))
        runs = {row["name"]: [run["test"] for run in row["runs"]] for row in study["contestants"]}
        singles = [row["name"] for row in study["contestants"] if row["kind"] == "single"]
        found = family({(name, "frozen"): (runs[name], runs["frozen"]) for name in singles})
        level = [f"`{each.a}`" for each in found if each.verdict != "higher"]
        text += (
            f" In the [study](../RESULTS.md) on {study['data_title']}, "
            f"{study['claim']['settings']['train']:,} images, {len(runs['frozen'])} seeds, not higher than "
            f"`frozen` by its test (p < 0.05 after Holm, {len(singles)} comparisons): {', '.join(level) or 'none'}."
        )
    return f"{text}\n"


def draw_worth(record: dict[str, Any]) -> None:
    """The same as points: the axis does not begin at 0, so no bars."""
    from snn_nas.controls import rule
    from snn_nas.report.style import LIGHT, canvas, drawing, stroke

    sizes = [sum(row["group"] == group for row in record["rows"]) for group in GROUPS]
    with drawing(LIGHT):
        figure = canvas(8.0, 0.26 * sum(sizes) + 1.6)
        for axes, (group, title) in zip(
            figure.subplots(3, 1, height_ratios=sizes, sharex=True), GROUPS.items(), strict=True
        ):
            rows = sorted((row for row in record["rows"] if row["group"] == group), key=lambda row: row["mean"])
            names = [row["contestant"] for row in rows]
            colours = [stroke(rule(row["rules"][0]).pair.colour, LIGHT) for row in rows]
            for y, (row, colour) in enumerate(zip(rows, colours, strict=True)):
                mean, points = 100 * row["mean"], [100 * run["accuracy"] for run in row["runs"]]
                axes.plot(points, [y] * len(points), "o", color=colour, markersize=4, markeredgewidth=0)
                axes.plot([mean, mean], [y - 0.35, y + 0.35], color=colour, lw=2.4, solid_capstyle="round")
                axes.text(max(points) + 0.3, y, f"{mean:.1f}", va="center", fontsize=8, color=LIGHT.ink)
            axes.set_yticks(range(len(rows)), names)
            axes.set_ylim(-0.7, len(rows) - 0.3)
            axes.set_xmargin(0.09)  # for the last number
            axes.set_title(title[0].upper() + title[1:], fontsize=9)
            axes.tick_params(axis="y", labelsize=8)
        axes.set_xlabel(f"accuracy on held-out images of {record['data']}, % (dots: seeds; bar: mean)")
        figure.savefig(WORTH, dpi=150)


def section(module: str) -> str:
    """A file's rules: their declarations, text and pictures."""
    members = [d for d in rules().values() if d.implementation.startswith(f"{module}:")]
    lines = [f"## {', '.join(f'`{d.name}`' for d in members)}\n"]
    lines += [f"- `{d.name}`: {d.summary}. {d.source}.{settings(d)}" for d in members]
    lines += ["", quoted(module)]
    for d in members:
        if (PICTURES / f"{d.name}.png").exists():
            lines.append(f"![First-layer filters under {d.name}](images/rules/{d.name}.png)\n")
    return "\n".join(lines)


def settings(declaration: Declaration) -> str:
    """The settings, each with its default."""
    if not declaration.settings:
        return ""
    told = "; ".join(f"`{name}={s.default}` {s.help}" for name, s in declaration.settings.items())
    return f" Settings: {told}."


def quoted(module: str) -> str:
    """A file's docstring, as it stands there."""
    return f"From `{module.replace('.', '/')}.py`:\n\n```text\n{inspect.getdoc(importlib.import_module(module))}\n```\n"


def cost(one: Pair) -> float:
    """pJ to run and learn from one sample, in the second of two layers; a readout is not costed here."""
    from snn_nas import spaces
    from snn_nas.credit import check
    from snn_nas.energy.activity import NodeActivity
    from snn_nas.energy.learning import work
    from snn_nas.energy.profile import profile
    from snn_nas.energy.result import Prices
    from snn_nas.genotype import parse
    from snn_nas.graph import size

    carrier = _carrier(one)
    below = "frozen" if one.transport == "none" else one.name
    text = COST.format(below=below, rule=one.name, carrier=carrier)
    graph = check(spaces.graph(parse(text), (3, 16, 16), 10)).graph
    node = graph.layers[1]
    assert node.synapse is not None
    connections, neurons, steps = 16 * 16 * node.synapse.weights, size(node.shape), range(graph.T)
    nothing = tuple(0.0 for _ in steps)
    synops = tuple(RATE * connections for _ in steps)
    spikes = tuple(RATE * neurons for _ in steps)
    done = NodeActivity(
        node.name, node.op, "spike", connections, neurons, spikes, synops, nothing, nothing, nothing, spikes
    )
    learned, prices = work(graph, node, done), Prices.of(profile("45nm_fp32"))
    added = sum(synops) + learned.update_adds + learned.neuron_adds
    return learned.macs * prices.mac + added * prices.ac + learned.neuron_mults * prices.mult


def _carrier(one: Pair) -> str:
    """By what the readout must hand its error down."""
    if one.declaration.error != "transported":
        return "none"
    return "exact" if one.transport == "none" else one.transport


def draw(data: str, train: int) -> None:
    """Train one hidden layer by each rule and draw its filters."""
    import matplotlib.pyplot as plt
    import torch
    from torch import Tensor

    from snn_nas import data as data_sets
    from snn_nas import network as networks
    from snn_nas import training
    from snn_nas.genotype import parse

    def tile(filters: Tensor) -> Tensor:
        """[N, C, k, k] as colours in [0, 1], each filter about its own middle."""
        spread = filters.flatten(1).abs().amax(1).view(-1, 1, 1, 1).clamp_min(1e-9)
        return (0.5 + 0.5 * filters / spread).permute(0, 2, 3, 1)

    loaded = data_sets.load(data, train=train, validation=1000)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, declaration in rules().items():
        if declaration.readout:
            continue
        one = pair("bp" if name == "gradient" else name)
        text = PICTURE.format(rule=one.name, carrier=_carrier(one))
        torch.manual_seed(0)
        network = networks.build(parse(text), loaded.shape, loaded.classes, normalise=loaded.normalise)
        history = training.train(network, loaded, training.Training(epochs=2, precision="bfloat16"), seed=0)
        weight = next(iter(network)).synapse.weight.detach()
        tiles = tile(weight)
        figure, axes = plt.subplots(3, 16, figsize=(8, 1.65), dpi=110)
        for axis, one_tile in zip(axes.flat, tiles, strict=True):
            axis.imshow(one_tile.squeeze(-1), cmap=None if one_tile.shape[-1] == 3 else "gray", vmin=0, vmax=1)
            axis.axis("off")
        figure.suptitle(f"{name}: validation accuracy {history[-1].accuracy:.1%}", fontsize=9, y=0.99)
        figure.subplots_adjust(0.01, 0.02, 0.99, 0.86, 0.06, 0.06)
        figure.savefig(PICTURES / f"{name}.png")
        plt.close(figure)


if __name__ == "__main__":
    main()
