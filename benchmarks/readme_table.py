"""Writes README's table of measurements from the records in benchmarks/results, so that no figure stands without one.

python benchmarks/readme_table.py           write it
python benchmarks/readme_table.py --check   fail if README says something else
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
START, END = "<!-- results -->\n", "<!-- /results -->"

Row = tuple[str, str]


def fashion_chain(record: dict[str, Any]) -> list[Row]:
    found = [f"{rule} {100 * row['mean']:.1f}" for rule, row in record["rules"].items()]
    seeds = len(record["rules"]["bp"]["accuracies"])
    return [
        (
            f"Fashion-MNIST, 4,000 images, {record['epochs']} epochs, T=4, one chain, validation accuracy "
            f"({seeds} seed{'s' * (seeds > 1)}), {record.get('neuron', 'lif')}",
            ", ".join(found),
        )
    ]


def seeds(rows: list[dict[str, Any]]) -> str:
    """How many, and who has more."""
    counts = {row["contestant"]: len(row["runs"]) for row in rows}
    least = min(counts.values())
    more = [f"`{name}` {count}" for name, count in counts.items() if count > least]
    return f"{least} seeds" + (f" ({', '.join(more)})" if more else "")


def rules_learn(record: dict[str, Any]) -> list[Row]:
    settings = record["settings"]
    about = (
        f"{record['data']}, {settings['train']:,} images, {settings['epochs']} epochs, T={settings['T']}, "
        f"{seeds(record['rows'])}, held-out accuracy, %; within a row all have as many tries, at the declared rates; "
        "what else was chosen, and who takes passes more, is in [rules.md](docs/rules.md#what-they-are-worth)"
    )
    titles = {
        "only": f"**do local rules learn?** All hidden layers under one rule that no error crosses ({about})",
        "deep": "the same, three layers under a rule that gets an error",
        "first": "the same, the first of three layers, the other two under another rule",
    }
    found = []
    for group, title in titles.items():
        rows = sorted((row for row in record["rows"] if row["group"] == group), key=lambda row: -row["mean"])
        found.append((title, ", ".join(f"{row['contestant']} {100 * row['mean']:.1f}" for row in rows)))
    return found


def trial_overhead(record: dict[str, Any]) -> list[Row]:
    return [
        (
            "a trial against the bare training loop",
            f"{record['ratio']:.2f} times its CPU time (medians of {record['runs']} runs)",
        )
    ]


def nni_overhead(record: dict[str, Any]) -> list[Row]:
    costs = [f"{run['nni_s_per_trial']:.2f} s at {run['concurrency']}" for run in record["runs"]]
    return [("NNI's own cost per trial, by trials at once", ", ".join(costs))]


def energy_counter(record: dict[str, Any]) -> list[Row]:
    ratios = [
        f"{name} x{ratio:.2f} ({record['ratio_of_medians'][name]:.2f})" for name, ratio in record["ratio"].items()
    ]
    return [("counting operations, against a plain forward pass: least times (medians)", ", ".join(ratios))]


def quickstart(record: dict[str, Any]) -> list[Row]:
    winner, twin = record["winner"], record["twin"]
    return [
        (
            f"quickstart: {record['trials']} trials and the final training, digits, seed {record['seed']}",
            f"{record['seconds']:.0f} s; winner {winner['test_accuracy']:.1%} test, {winner['energy_uJ']:.2f} µJ "
            f"({record['profile']}), locality {winner['locality']:.2f}; bp twin {twin['test_accuracy']:.1%}, "
            f"{twin['energy_uJ']:.2f} µJ",
        )
    ]


def mini201(record: dict[str, Any]) -> list[Row]:
    """At 50 and 200 evaluations, for each way to count cells that the record holds."""
    kinds = {"rows": "isomorphic cells counted apart", "unique": "isomorphic cells as one, as in our spaces"}
    tuned = "the predictor was tuned on these" if record["on"] == "cifar10" else "held out when it was tuned"
    rows = []
    for kind, what in kinds.items():
        strategies = record.get(kind, {"strategies": {}})["strategies"]
        means = {name: [row["mean"][n] for n in ("50", "200")] for name, row in strategies.items()}
        found = ", ".join(f"{name} {early:.2f} and {late:.2f}" for name, (early, late) in means.items())
        about = (
            f"strategies on mini-NAS-Bench-201 (rate networks, {record['on']}; {tuned}), {what}: {record['metric']}, "
            f"after 50 and 200 evaluations, {record['repeats']} repeats"
        )
        rows += [(about, found)] if found else []
    return rows


def rule_table_search(record: dict[str, Any]) -> list[Row]:
    found = [f"{name} {row['mean']['20']:.2f}" for name, row in record["strategies"].items()]
    return [
        (
            f"strategies on our own [rule table](docs/rule_table.md) ({record['networks']} trained spiking networks), "
            f"{record['repeats']} repeats, 20 evaluations, {record['metric']} (best of all "
            f"{record['best_by_validation']})",
            ", ".join(found),
        )
    ]


def joint_search(record: dict[str, Any]) -> list[Row]:
    def value(row: dict[str, Any]) -> str:
        deviation = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}"
        return f"{row['contestant']} {100 * row['mean']:.1f}{deviation}"

    budget = record["budget"]
    return [
        (
            f"topology and rules searched together or apart: {record['strategy']}, {record['evaluations']} networks a "
            f"search, {record['seeds']} searches each, Fashion-MNIST, {budget['train']:,} images, {budget['epochs']} "
            "epochs, held-out accuracy of what validates best, %",
            ", ".join(map(value, record["rows"])),
        )
    ]


def readout_rate(record: dict[str, Any]) -> list[Row]:
    found = [
        f"{row['network']} {100 * row['means']['one_rate']:.1f}, {100 * row['means']['by_inputs']:.1f}"
        for row in record["rows"]
    ]
    return [
        (
            "one rate for every readout, and ours, larger where inputs are fewer: validation accuracy, %, "
            f"{record['seeds']} seeds (Fashion-MNIST, 2,000 images, 3 epochs, all layers under one rule or a mix; "
            "the last CIFAR-10 (JPEG-75), 5,000 images, 10 epochs)",
            "; ".join(found),
        )
    ]


def horizon(record: dict[str, Any]) -> list[Row]:
    found: dict[str, list[str]] = {}
    for row in record["rows"]:
        setting = f"{row['data']}, {row['train']:,} images, {row['epochs']} epochs, {row['steps']:,} steps"
        means = row["means"]
        found.setdefault(setting, []).append(
            f"{row['network']} {100 * means['nothing']:.1f}, {100 * means['declared']:.1f}"
        )
    return [
        (
            "weights that forget nothing, and ours, which are forgotten over "
            f"{record['horizon']:g} of the training, but by "
            f"{100 * record['most']:g} % a step at most, which decides below 500 steps: validation accuracy, %, "
            f"{record['seeds']} seeds, three layers under one rule or a mix",
            ". ".join(f"{setting}: {'; '.join(each)}" for setting, each in found.items()),
        )
    ]


def lif_cpu(record: dict[str, Any]) -> list[Row]:
    def over(what: str) -> str:
        peers = {"SpikingJelly": "spikingjelly_torch", "snnTorch": "snntorch_leaky"}
        return ", ".join(
            f"{name} {record[what][key]['median_over_ours']:.1f} ({record[what][key]['best_over_ours']:.1f})"
            for name, key in peers.items()
        )

    return [
        (
            f"LIF on a CPU, {record['threads']} threads, a machine at load "
            f"{record['load_before']:.0f}, medians (least times) over ours: forward and backward; "
            "forward; step by step, each with its own backward, as for e-prop; a training step of a small conv net",
            f"{over('forward_backward')}; {over('forward')}; {over('online')}; {over('step')}. Ours is "
            f"{1 / record['forward_backward']['bytes']['median_over_ours']:.1f} times what moving the bytes takes",
        )
    ]


def stdp_cpu(record: dict[str, Any]) -> list[Row]:
    update, peer = record["over_forward"]["update"], record["spikingjelly_over"]["update"]
    return [
        (
            "STDP's update of a conv layer (64 to 64, 3x3, 32x32, T=4, batch 16)",
            f"{update:.2f} times the layer's forward pass; SpikingJelly's learner, the sum over spike pairs alone, "
            f"takes {peer:.0f} times as long (median of {record['runs']['spikingjelly']} runs)",
        )
    ]


def transport(record: dict[str, Any]) -> list[Row]:
    found = [f"{name} {row['backward']:.2f}" for name, row in record["over_exact"].items() if name != "exact"]
    return [
        (
            f"backward pass by transport, times back-propagation's (median of {record['rounds']} ratios)",
            ", ".join(found),
        )
    ]


def online_memory(record: dict[str, Any]) -> list[Row]:
    found = [f"{name} {row['peak_T32_over_T4']:.2f}" for name, row in record["rules"].items()]
    return [("peak memory of a training step at T=32, times that at T=4", ", ".join(found))]


def images_per_second(record: dict[str, Any]) -> list[Row]:
    found = [
        f"{row['ours']['images_per_second']:.0f} in {row['precision']} ({row['ours']['neurons']}), "
        f"{row['ratio']:.2f} times as many"
        for row in record["comparisons"]
    ]
    first = record["comparisons"][0]
    size = f"T={first['T']}, batch {first['batch']}"
    return [
        (
            f"training a small conv net, {size}, {record['conditions']['device']}: images a second, against a plain "
            "SpikingJelly script",
            "; ".join(found),
        )
    ]


def cifar10_speedrun(record: dict[str, Any]) -> list[Row]:
    found = [
        f"{goal['name']}: {100 * goal['mean_test_accuracy']:.2f} % in {goal['most_seconds']:.0f} s "
        f"({goal['runs']} runs)"
        for goal in record["goals"]
        if goal["runs"]
    ]
    return [(f"{record['data']} at T=4 on one {record['conditions']['device']}, training alone", "; ".join(found))]


def gradient_by_depth(record: dict[str, Any]) -> list[Row]:
    found = [
        f"{rule} {rows[-1]['angle']:.0f} and {rows[0]['angle']:.0f}"
        for rule, rows in ((rule, stages["at initialisation"]) for rule, stages in record["rules"].items())
        if rule != "bp"
    ]
    return [
        (
            f"angle between a layer's gradient and the true one at initialisation, last and first of {record['depth']} "
            f"layers, degrees ({record['data']}, {record['seeds']} seeds)",
            ", ".join(found),
        )
    ]


def soak(record: dict[str, Any]) -> list[Row]:
    kills, many = record["kills"], record["many"]
    memory = ", ".join(f"{name} {sizes[0]:.0f} to {sizes[-1]:.0f} MiB" for name, sizes in many["memory_MiB"].items())
    return [
        (
            f"{sum(kills['kills'].values())} SIGKILLs of trial, dispatcher and manager over {kills['trials']} trials",
            f"{kills['results_lost']} results lost, {kills['processes_left']} processes left",
        ),
        (f"{many['trials']} trials in a row under NNI", memory),
    ]


ROWS: dict[str, Callable[[dict[str, Any]], list[Row]]] = {
    "quickstart": quickstart,
    "rules_learn": rules_learn,
    "fashion_chain": fashion_chain,
    "fashion_chain_driven": fashion_chain,
    "mini201": mini201,
    "rule_table_search": rule_table_search,
    "joint_search": joint_search,
    "mini201_cifar100": mini201,
    "trial_overhead": trial_overhead,
    "nni_overhead": nni_overhead,
    "energy_counter": energy_counter,
    "readout_rate": readout_rate,
    "horizon": horizon,
    "lif_cpu": lif_cpu,
    "stdp_cpu": stdp_cpu,
    "transport": transport,
    "online_memory": online_memory,
    "images_per_second_cpu": images_per_second,
    "gpu/images_per_second_cuda": images_per_second,
    "gpu/speedrun": cifar10_speedrun,
    "gradient_by_depth": gradient_by_depth,
    "soak": soak,
}


def table() -> str:
    lines = ["| what | measured | record |", "|---|---|---|"]
    for name, rows in ROWS.items():
        path = RESULTS / f"{name}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            lines += [
                f"| {what} | {value} | [{name}](benchmarks/results/{name}.json) |" for what, value in rows(record)
            ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    wanted = before + START + table() + END + rest.partition(END)[2]
    if options.check:
        sys.exit(0 if wanted == text else "README's table is not that of the records; run benchmarks/readme_table.py")
    readme.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
