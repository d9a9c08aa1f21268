"""Write docs/rule_table.md, the datasheet of the rule table, and its picture, from the table itself.

    python docs/make_rule_table.py

A test checks that the page is what this script writes.
"""

from __future__ import annotations

import itertools
import json
import statistics
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snn_nas.search.pareto import front
from snn_nas.search.rule_table import SHIPPED, Entry, entries
from snn_nas.study.statistics import interval
from snn_nas.training_settings import REVISION

HERE = Path(__file__).parent
PAGE, PICTURE = HERE / "rule_table.md", HERE / "images" / "rule_table.png"
MIXED, ALONE = "#0072b2", "#d55e00"

TEXT = """# The rule table

{count} spiking networks that differ in nothing but the learning rule of each layer, all trained: a tabular benchmark
for searches that choose rules. `python docs/make_rule_table.py` writes this page.

![Mean accuracy by layer and rule; accuracy of all networks against the energy of learning](images/rule_table.png)

```python
from snn_nas.search import create, objectives, rule_table
from snn_nas.search.tabular import trace

space, table = rule_table.load()
trace(create("evolution", space, objectives(["accuracy"]), seed=0), table, trials=50)
```

`trace` gives, after each trial, the held-out accuracy of the network that validates best so far; `rule_table.entries()`
gives the networks with all their runs. `benchmarks/rule_table_search.py` compares our strategies on it.

## What is in it

| | |
|---|---|
| networks | every valid assignment of {rules} to three hidden layers: {count}. `frsf` in a layer asks that all layers above it hand errors down, so `frsf` below anything else is not among them |
| architecture | {genotype} |
| data | Fashion-MNIST, training split alone: {train} images to train on, {half} to choose by (`validation`), {half} to compare by (`held_out`). The test split was never opened. Encoding and batch size were chosen on 10,000 of the held-out images, with four networks of one rule each |
| budget | {epochs} epochs, batches of {batch}, bfloat16, each rule's own optimiser and learning rate as declared; the learning rates were not tuned for this table. Before the epochs, layers under `stdp` and `softhebb` learn one after the other, from the image up, with a pass of their own each. The energy of learning counts an image run once, every layer learning from it |
| runs | {runs} in all: seed 0 for every network{repeated} |
| columns | `validation`, `held_out`: accuracy; `energy_uJ`, `learning_energy_uJ`: inference and learning of one image on the profile `{profile}`; `synops`; `parameters`; `locality` |
| noise | the standard deviation over seeds is {noise} (median of the networks with several) |
| commits | {commits} |

## Which rules land where

The mean held-out accuracy of the networks with a rule in a layer, in percent. Layer 1 is next to the image. In each
column every rule has the same company: in the first three all combinations of the rules other than `frsf` in the other
layers, in the fourth any of them in layer 1, in the fifth `frsf` in both others.

{effects}

Of the variance among the {factorial} networks without `frsf`, each layer's rule explains by itself: {shares}.

{why}

## Accuracy against the cost of learning

{front}

## The best

{best}

And the networks under one rule:

{single}

## What it is not

One architecture, one data set, one short budget and one drive of the neurons: which rule is best where will be
otherwise elsewhere. The table is for comparing *searches*; for comparing *rules*, with every one tuned alike, there is
`benchmarks/rules_learn.py`. Three epochs favour rules that learn fast. Accuracies are from {half} images: two networks
nearer to each other than {close} are not told apart by one run.
"""  # noqa: E501


def main() -> None:
    """Write the page and draw the picture."""
    PAGE.write_text(page(), encoding="utf-8")
    draw(entries())


def page() -> str:
    """The whole page."""
    content = json.loads(SHIPPED.read_text(encoding="utf-8"))
    networks = entries()
    budget, several = content["budget"], [one for one in networks if len(one.runs) > 1]
    deviations = [statistics.stdev(run.get("held_out", 0.0) for run in one.runs) for one in several]
    noise = statistics.median(deviations) if deviations else None
    seeds = max(len(one.runs) for one in networks)
    best = sorted(networks, key=lambda one: -one.held_out)[:12]
    single = sorted((one for one in networks if len(set(one.rules)) == 1), key=lambda one: -one.held_out)
    half = f"{budget['validation'] // 2:,}"
    return TEXT.format(
        count=len(networks),
        rules=", ".join(f"`{rule}`" for rule in content["space"]["rules"]),
        genotype=f"`{networks[0].genotype}`, for one",
        train=f"{budget['train']:,}",
        half=half,
        epochs=budget["epochs"],
        batch=budget["batch_size"],
        profile=budget["profile"],
        runs=sum(len(one.runs) for one in networks),
        repeated=f", up to {seeds} for those that validate best and for those under one rule: {len(several)} networks",
        noise="not known yet" if noise is None else f"{100 * noise:.2f} points",
        close="a point" if noise is None else f"{100 * 2 * 2**0.5 * noise:.1f} points",
        commits=", ".join(f"`{commit}`" for commit in content["commits"]) + revision(content),
        effects=effects_table(networks),
        factorial=sum("frsf" not in one.rules for one in networks),
        shares=shares_text(networks),
        best=ranking(best),
        single=ranking(single),
        why=why(networks),
        front=front_text(networks),
    )


def revision(content: dict[str, Any]) -> str:
    """What is to be known where the networks are not those of now."""
    if content["conditions"].get("training") == REVISION:
        return ""
    return (
        "; `dfa`, `eprop` and `frsf` learn otherwise, and better, since "
        "[a later version of training](training.md#how-fast-weights-are-forgotten)"
    )


Effects = dict[str, list[float | None]]

COLUMNS: dict[str, tuple[int, Callable[[tuple[str, ...]], bool]]] = {
    "layer 1": (0, lambda rules: "frsf" not in rules),
    "layer 2": (1, lambda rules: "frsf" not in rules),
    "layer 3": (2, lambda rules: "frsf" not in rules[:2]),
    "layer 2, below frsf": (1, lambda rules: rules[0] != "frsf" and rules[2] == "frsf"),
    "layer 1, below frsf": (0, lambda rules: rules[1:] == ("frsf", "frsf")),
}
"""Comparisons in which every rule has the same company in the other layers: a layer, and the networks that count.

Without this, a rule would look good for being allowed beside good ones only, as `frsf` is.
"""


def effects(networks: list[Entry]) -> Effects:
    """Mean held-out accuracy, in percent, by rule and column."""
    found: Effects = {}
    for rule in sorted({rule for one in networks for rule in one.rules}):
        of = [
            [one.held_out for one in networks if one.rules[layer] == rule and counts(one.rules)]
            for layer, counts in COLUMNS.values()
        ]
        found[rule] = [100 * statistics.mean(each) if each else None for each in of]
    return found


def best_first(found: Effects) -> list[str]:
    """Rules by their effect in layer 3, where all can be compared."""
    return sorted(found, key=lambda rule: -(found[rule][2] or 0.0))


def effects_table(networks: list[Entry]) -> str:
    """`effects`, the best first."""
    found = effects(networks)
    lines = [f"| rule | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for rule in best_first(found):
        cells = " | ".join("-" if each is None else f"{each:.1f}" for each in found[rule])
        lines.append(f"| `{rule}` | {cells} |")
    return "\n".join(lines)


def shares(networks: list[Entry]) -> dict[tuple[int, ...], float]:
    """Which share of the variance each set of layers explains: an analysis of variance of the networks without `frsf`.

    They are all combinations of the other rules, so that the parts are orthogonal and add up to 1.
    """
    rows = [one for one in networks if "frsf" not in one.rules]
    mean = statistics.mean(one.held_out for one in rows)
    total = sum((one.held_out - mean) ** 2 for one in rows)
    explained: dict[tuple[int, ...], float] = {(): 0.0}
    for size in (1, 2, 3):
        for layers in itertools.combinations(range(3), size):
            groups = defaultdict(list)
            for one in rows:
                groups[tuple(one.rules[layer] for layer in layers)].append(one.held_out)
            between = sum(len(group) * (statistics.mean(group) - mean) ** 2 for group in groups.values())
            below = (part for less in range(size) for part in itertools.combinations(layers, less))
            explained[layers] = between / total - sum(explained[part] for part in below)
    return explained


def shares_text(networks: list[Entry]) -> str:
    """`shares`, as a sentence."""
    found = shares(networks)
    alone = ", ".join(f"layer {layer + 1} {100 * found[layer,]:.0f} %" for layer in range(3))
    pairs = 100 * sum(share for layers, share in found.items() if len(layers) == 2)
    return f"{alone}; pairs of layers {pairs:.0f} %; all three, and chance, {100 * found[0, 1, 2]:.0f} %"


def why(networks: list[Entry]) -> str:
    """What the columns say, and what may be behind it."""
    worth = effects(networks)
    of = {rule: ["-" if each is None else f"{each:.1f}" for each in row] for rule, row in worth.items()}
    ranked = sorted(networks, key=lambda one: -validation(one))
    by_rules = {one.rules: one for one in networks}
    alone = [one for one in ranked if len(set(one.rules)) == 1]
    cheap = next(one for one in ranked if one.rules[2] == "frsf" and one.rules[1] != "frsf")
    transported = by_rules[("frsf",) * 3]
    local = next(one for one in ranked if one.runs[0]["locality"] == 1.0)
    place = ranked.index(alone[0]) + 1
    best = f"The best of all, {named(ranked[0])}, has {both(ranked[0])}: {apart(ranked[0], alone[0])}."
    best, it = ("", "The best of all,") if ranked[0] is cheap else (f"{best} ", "Of the others,")
    ahead = f"{both(cheap)}: {apart(cheap, alone[0])}"
    if alone[0] is not transported:
        ahead += f", and {apart(cheap, transported)} from `frsf` alone, {both(transported)}"
    sent = next(rule for rule in of if rule.startswith("dfa"))
    fewest = min(len(by_rules[rule, "frsf", "frsf"].runs) for rule in ("frsf", "stdp", "softhebb"))

    def below_stdp(rule: str) -> str:
        """Mean of the networks with `stdp` in layer 3 and this rule in layer 2."""
        return f"{100 * statistics.mean(one.held_out for one in networks if one.rules[1:] == (rule, 'stdp')):.1f}"

    return f"""- **The layer next to the readout wants an error.** `frsf` {of["frsf"][2]} and `local` {of["local"][2]} are ahead there of what gets none: `softhebb` {of["softhebb"][2]}, `frozen` {of["frozen"][2]}, `stdp` {of["stdp"][2]}.
- **Below it, competition does as well as an error.** `stdp` has {of["stdp"][0]} in layer 1 and {of["stdp"][1]} in layer 2, `softhebb` {of["softhebb"][0]} and {of["softhebb"][1]}, `local` {of["local"][0]} and {of["local"][1]}, `frozen` {of["frozen"][0]} and {of["frozen"][1]}. Below two layers of `frsf` they have {of["stdp"][4]} and {of["softhebb"][4]}, `frsf` itself {of["frsf"][4]} ({fewest} seeds each). We suppose: the error that comes down there has crossed two sign-symmetric transports (`benchmarks/gradient_by_depth.py`: its angle to the gradient grows with every one), and 375 steps are few; a competitive rule needs no error to find the image's statistics, and has found them before the layers above begin.
- {broadcasts(worth)} `eprop`, whose feedback is learned, has {", ".join(of["eprop"][:3])}.
- **Mixes {"are ahead" if surely_ahead(cheap, alone[0]) else "do as well"}, and learn for less.** By validation the best rule alone is {named(alone[0])}, number {place} of {len(networks)}: {both(alone[0])}. {best}{it} {named(cheap)}, where the readout's error goes to one layer and no further, has {ahead}. With no transported error anywhere, {named(local)} comes to {both(local)}. (Held-out images choose none of these; networks and seeds are those that were chosen among, which flatters the best of {len(networks)}.)
- **`stdp` wants firm ground.** In layer 3 it has {below_stdp("softhebb")} above `softhebb` and {below_stdp("stdp")} above `stdp`, which learn before it does. Above layers that move after it has learned it has hardly more than above random ones ({below_stdp("frozen")}), or less: `local` {below_stdp("local")}, `eprop` {below_stdp("eprop")}, `{sent}` {below_stdp(sent)}. Its filters, we suppose, then fit spikes that no longer come."""  # noqa: E501


def broadcasts(worth: Effects) -> str:
    """What a fixed random matrix does for the layers that learn by it, in the first three columns."""
    sent = next(rule for rule in worth if rule.startswith("dfa"))
    here, control = ([each for each in worth[rule][:3] if each is not None] for rule in (sent, "frozen"))
    ahead = sum(mine > theirs for mine, theirs in zip(here, control, strict=True))
    title = {0: "Random feedback harms", 3: "Random feedback helps"}.get(ahead, "Random feedback is no sure gain")
    figures = [", ".join(f"{each:.1f}" for each in row) for row in (here, control)]
    return f"**{title}.** From the image up, `{sent}` has {figures[0]}, `frozen` {figures[1]}."


def validation(one: Entry) -> float:
    """Mean over seeds."""
    return statistics.mean(run.get("validation", 0.0) for run in one.runs)


def named(one: Entry) -> str:
    """Its rules, from the image up; a rule alone once."""
    rules = one.rules[:1] if len(set(one.rules)) == 1 else one.rules
    return ", ".join(f"`{rule}`" for rule in rules)


def both(one: Entry) -> str:
    """Accuracy and the cost of learning."""
    return f"{100 * one.held_out:.1f} % for {learning(one):.0f} uJ an image ({len(one.runs)} seeds)"


def percents(one: Entry) -> list[float]:
    """The held-out accuracy of each seed."""
    return [100 * run.get("held_out", 0.0) for run in one.runs]


def surely_ahead(one: Entry, other: Entry) -> bool:
    """Whether the seeds leave no doubt."""
    return interval(percents(one), percents(other))[0] > 0


def apart(one: Entry, other: Entry) -> str:
    """The difference of two, with what the seeds say of it."""
    mine, its = percents(one), percents(other)
    difference = f"{statistics.mean(mine) - statistics.mean(its):+.1f} points"
    if min(len(mine), len(its)) < 3:
        return difference
    low, high = interval(mine, its)
    return f"{difference} ({low:+.1f} to {high:+.1f} with 95 % confidence)"


def learning(one: Entry) -> float:
    """What learning from one image takes, in uJ."""
    return float(one.runs[0]["learning_energy_uJ"])


def frontier(networks: list[Entry]) -> list[Entry]:
    """Those that no other beats in validation accuracy (mean over seeds) and energy of learning, cheapest first."""
    alive = [one for one in networks if one.runs[0]["status"] == "ok"]
    gains = [(validation(one), -learning(one)) for one in alive]
    return sorted((alive[i] for i in front(gains)), key=learning)


def front_text(networks: list[Entry]) -> str:
    """What a mix of rules buys: the front, and for each rule alone the cheapest on it that is as accurate."""
    best = frontier(networks)
    alone = [one for one in networks if len(set(one.rules)) == 1]
    mixed = sum(one not in alone for one in best)
    lines = [
        f"Of the {len(best)} networks on the front, chosen by validation accuracy and the energy of learning, {mixed} "
        "mix rules. What a rule alone reaches, the first of the front with as high a held-out accuracy reaches for "
        "less:\n",
        "| one rule alone | held out, % | seeds | learning, uJ | on the front | held out, % | seeds | learning, uJ | times less |",  # noqa: E501
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in sorted(alone, key=learning):
        if other := next((each for each in best if each.held_out >= one.held_out), None):
            rules = ", ".join(f"`{rule}`" for rule in other.rules) if other is not one else "itself"
            lines.append(
                f"| `{one.rules[0]}` | {100 * one.held_out:.1f} | {len(one.runs)} | {learning(one):.0f} | {rules} "
                f"| {100 * other.held_out:.1f} | {len(other.runs)} | {learning(other):.0f} "
                f"| {learning(one) / learning(other):.1f} |"
            )
    return "\n".join(lines)


def ranking(networks: list[Entry]) -> str:
    """Rules, accuracy and costs of some networks."""
    lines = [
        "| layer 1 | layer 2 | layer 3 | held out, % | seeds | energy, uJ | learning, uJ | locality |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in networks:
        run: Any = one.runs[0]
        rules = " | ".join(f"`{rule}`" for rule in one.rules)
        costs = f"{run['energy_uJ']:.1f} | {run['learning_energy_uJ']:.0f} | {run['locality']:.2f}"
        lines.append(f"| {rules} | {100 * one.held_out:.1f} | {len(one.runs)} | {costs} |")
    return "\n".join(lines)


def draw(networks: list[Entry]) -> None:
    """Layers against rules as colours, and accuracy against the energy of learning."""
    import numpy as np

    from snn_nas.report.style import LIGHT, canvas, drawing

    found = effects(networks)
    order = best_first(found)
    grid = np.array([[np.nan if each is None else each for each in found[rule]] for rule in order])
    with drawing(LIGHT):
        figure = canvas(10.4, 4.2)
        left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
        left.imshow(grid, aspect="auto", cmap="viridis")
        low, high = np.nanmin(grid), np.nanmax(grid)
        for y, x in np.argwhere(~np.isnan(grid)):
            dark = (grid[y, x] - low) / (high - low) < 0.6
            left.text(
                x, y, f"{grid[y, x]:.1f}", ha="center", va="center", color="white" if dark else "black", fontsize=9
            )
        for y, x in np.argwhere(np.isnan(grid)):
            left.text(x, y, "not valid", ha="center", va="center", color=LIGHT.muted, fontsize=8)
        left.set_xticks(range(grid.shape[1]), [name.replace(", ", ",\n") for name in COLUMNS], fontsize=8)
        left.set_yticks(range(len(order)), order)
        left.set_title("Mean held-out accuracy, %")
        left.grid(visible=False)
        alive = [one for one in networks if one.runs[0]["status"] == "ok"]
        alone = [one for one in alive if len(set(one.rules)) == 1]
        for ones, name, style, line in (
            ([one for one in alive if one not in alone], "mixed rules", {"color": MIXED, "s": 14, "alpha": 0.4}, "-"),
            (alone, "one rule alone", {"color": ALONE, "s": 34, "zorder": 3}, "--"),
        ):
            right.scatter(*_points(ones), linewidths=0, label=name, **style)
            steps = frontier(alive if line == "-" else alone)
            right.step(*_points(steps), where="post", color=style["color"], linewidth=1.4, linestyle=line)
        for one in alone:
            point = (learning(one), 100 * one.held_out)
            right.annotate(one.rules[0], point, (4, -12), textcoords="offset points", fontsize=8)
        ticks = [15, 20, 30, 40, 60, 90]
        right.set_xscale("log")
        right.set_xticks(ticks, [str(tick) for tick in ticks])
        right.minorticks_off()
        right.set(xlabel="learning from one image, µJ (45nm_fp32)", ylabel="held-out accuracy, %")
        right.set_title(f"All {len(networks)}, and the front of each kind")
        for handle in right.legend(loc="lower left", fontsize=8).legend_handles:
            handle.set_alpha(1.0)
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(PICTURE, dpi=160)


def _points(ones: list[Entry]) -> tuple[list[float], list[float]]:
    return [learning(one) for one in ones], [100 * one.held_out for one in ones]


if __name__ == "__main__":
    main()
