"""Fill in the tables and outputs of docs/energy.md and docs/export.md; with --pictures, train, draw and run again.

    python docs/make_energy.py               # the tables: profiles, counters, keys of a profile
    python docs/make_energy.py --pictures    # the pictures and what the commands print, too; a minute

A block stands between `<!-- name -->` and `<!-- /name -->`. The pictures and outputs are those of the commands that
stand above them, on a network that is trained on `digits`. A test checks that the tables are what this script writes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from snn_nas.energy.profile import SCHEMA, profile, profiles

HERE = Path(__file__).parent
PAGES = (HERE / "energy.md", HERE / "export.md")
PICTURES = HERE / "images" / "energy"
RECORD = HERE.parent / "benchmarks" / "results" / "energy_counter.json"
GENOTYPE = (
    "chain(T=4){conv(c=16)@local/lif(reset=hard,threshold=0.5); "
    "conv(c=32,down=stride)@frsf/lif(reset=hard,threshold=0.5); "
    "conv(c=32,down=avg)@frsf/lif(reset=hard,threshold=0.5); readout(grid=2)@delta~usf}"
)
COMMANDS = {
    "energy": "energy model --profile 45nm_fp32 --profile lemaire --profile loihi --figures figures",
    "learning": "energy model --learning --profile lemaire",
    "export": "export model --nir model.nir --onnx model.onnx --activity activity.json --check",
    "load": "load model/weights.safetensors",
}


def main() -> None:
    """Fill in the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", action="store_true")
    blocks = tables()
    if parser.parse_args().pictures:
        blocks |= outputs()
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8"), blocks), encoding="utf-8")


def filled(text: str, blocks: dict[str, str]) -> str:
    """The page with each of these blocks that it has exchanged."""
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start in text:
            before, rest = text.split(start)
            text = f"{before}{start}\n{block}\n{end}{rest.split(end)[1]}"
    return text


def tables() -> dict[str, str]:
    """What needs no training."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return {"profiles": _profiles(), "counters": _counters(record), "overhead": _overhead(record), "keys": _keys()}


def _profiles() -> str:
    rows = []
    for name in profiles():
        p = profile(name)
        operation = (
            "unknown" if not p.known else _number(p.e_synop) if p.chip else f"{_number(p.e_mac)} / {_number(p.e_ac)}"
        )
        modelled = [
            what
            for what, given in (
                (f"neuron update {_number(p.e_neuron_update)}", p.e_neuron_update is not None),
                (f"learning update {_number(p.e_learning_update)}", p.e_learning_update is not None),
                (f"hop {_number(p.hop)}", p.hop is not None),
                (f"a step {_number((p.t_step or 0.0) / 1000)} µs", p.t_step is not None),
                (f"a synop {_number(p.t_synop)} ns", p.t_synop is not None),
                (f"a neuron update {_number(p.t_neuron_update)} ns", p.t_neuron_update is not None),
                ("memory, addressing", bool(p.memory)),
            )
            if given
        ]
        rows.append((f"`{name}`", p.kind, f"{p.node}, {p.precision}", operation, ", ".join(modelled), _source(p)))
    head = ("profile", "kind", "technology", "MAC / AC, or synop, pJ", "besides (energies in pJ)", "source")
    return _table(head, rows)


def _source(p: Any) -> str:
    return " ".join(f"{p.source}. {p.note}".split()).rstrip(". ")


def _counters(record: dict[str, Any]) -> str:
    def kinds(found: dict[str, float], who: str) -> str:
        named = {"AC": found[f"{who}_acs"], "MAC": found[f"{who}_macs"]}
        return ", ".join(f"{value:.0f} {kind}" for kind, value in named.items() if value) or "0"

    rows = []
    for case, found in record["three_counters"].items():
        ours = kinds(found, "ours") + (f", {found['ours_biases']:.0f} biases" if found["ours_biases"] else "")
        units = f"{found['ours_units']:.0f} AC" if found["ours_units"] and not found["ours_acs"] else ""
        brute = f"{found['not_zero']} of {found['connections']}"
        rows.append((case, brute, ours, units, kinds(found, "spikingjelly"), kinds(found, "neurobench")))
    head = ("what the convolution is fed", "brute force: taps on non-zero", "ours", "ours, `units`")
    return _table((*head, "SpikingJelly", "NeuroBench"), rows)


def _overhead(record: dict[str, Any]) -> str:
    names = {"ours": "ours", "spikingjelly": "SpikingJelly", "neurobench": "NeuroBench"}
    rows = [
        (
            names[name],
            f"{record['synaptic_operations'][name]:,}",
            f"{ratio:.2f}",
            f"{record['ratio_of_medians'][name]:.2f}",
        )
        for name, ratio in record["ratio"].items()
    ]
    head = ("counter", "synaptic operations, binary inputs", "times a plain forward pass, least", "by medians")
    return _table(head, rows)


def _keys() -> str:
    needed = SCHEMA["required"]
    rows = [
        (f"`{key}`", "yes" if key in needed else "", each["description"]) for key, each in SCHEMA["properties"].items()
    ]
    return _table(("key", "needed", "what it says"), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def outputs() -> dict[str, str]:
    """What the commands print, of a network that is trained for them; their pictures go into docs/images/energy."""
    blocks = {}
    with tempfile.TemporaryDirectory() as folder:
        _run(["train", GENOTYPE, "--data", "digits", "--epochs", "6", "--seed", "0", "--out", "model"], folder)
        for name, words in COMMANDS.items():
            printed = "\n".join(line.rstrip() for line in _run(words.split(), folder).splitlines())
            blocks[f"{name} output"] = f"```text\n$ snn-nas {words}\n{printed.strip()}\n```"
        PICTURES.mkdir(parents=True, exist_ok=True)
        for picture in (Path(folder) / "figures").iterdir():
            (PICTURES / picture.name).write_bytes(picture.read_bytes())
    return blocks


def _run(words: list[str], folder: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "snn_nas", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"snn-nas {' '.join(words)}: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
