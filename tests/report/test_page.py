import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from snn_nas.report import load, write
from snn_nas.report.page import render
from snn_nas.search.result import Result
from tests.report.conftest import PROFILE

Make = Callable[..., Path]
VOID = {"meta", "img", "source", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that every tag is closed in order, and keeps the text and the references."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data


@pytest.fixture(scope="module")
def html(run_folder: Path) -> str:
    return write(run_folder).read_text(encoding="utf-8")


def test_it_is_one_page_that_needs_nothing_else(html: str, run_folder: Path) -> None:
    page = Page(html)
    assert page.references
    assert all(reference.startswith("data:image/png;base64,") for reference in page.references)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    assert "url(" not in html
    assert (run_folder / "report.html").stat().st_size < 4 * 2**20


def test_every_picture_is_a_file_in_both_themes(html: str, run_folder: Path) -> None:
    names = {path.name for path in (run_folder / "figures").iterdir()}
    wanted = ("architecture", "front", "layers", "trials", "rules", "training")
    assert names == {f"{name}{theme}.png" for name in wanted for theme in ("", "-dark")}
    assert all((run_folder / "figures" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_it_names_every_layer_rule_and_trial(html: str, run_folder: Path) -> None:
    text, run = Page(html).text, load(run_folder)
    assert run.winner is not None
    for layer in run.winner.layers:
        assert layer.name in text
        assert layer.rule in text
    for result in run.front:
        assert result.genotype in text
    for result in run.results:
        assert result.ok or (result.reason in text and result.digest in text)
    assert run.winner.genotype in text
    for word in (
        "97.2 %",
        "98.0 %",
        "f65350c",
        "2.11.0",
        "experiments/quickstart.yml",
        "the rate network wins",
        "3 bits",
        "Modelled latency 7 steps, 23.4 µs",
    ):
        assert word in text.replace("Here the rate", "the rate"), word


def test_every_energy_stands_with_its_profile(html: str) -> None:
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    containers = re.findall(r'<div class="card">.*?</div>\s*</div>|<table.*?</table>|<p[ >].*?</p>', bare, re.DOTALL)
    energies = 0
    for container in containers:
        found = re.findall(r"\d ?(?:pJ|nJ|µJ|mJ|µs)\b", container)
        energies += len(found)
        assert not found or PROFILE in container, container
    assert energies == len(re.findall(r"\d (?:pJ|nJ|µJ|mJ|µs)\b", bare))
    assert energies > 10


@pytest.mark.parametrize(
    ("wins", "turning", "words"),
    [
        ("rate", 0.061, "A spiking network wins below a mean firing rate of 6.1 %; this one fires at 11.2 %."),
        ("rate", None, "No firing rate would turn that."),
        ("spiking", 3.0, "Here the spiking network wins. It does at every firing rate."),
    ],
)
def test_the_rate_twin_is_told_honestly(make_run: Make, wins: str, turning: float | None, words: str) -> None:
    folder = make_run()
    path = folder / "winner" / "winner.json"
    record = json.loads(path.read_text())
    record["rate_twin"] |= {"wins": wins, "turning_rate": turning}
    path.write_text(json.dumps(record))
    assert words in " ".join(Page(render(load(folder), [])).text.split())


def test_hostile_text_stays_text(make_run: Make) -> None:
    folder = make_run()
    journal = folder / "trials.jsonl"
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>" + "A" * 5000
    lines = journal.read_text().replace("no spike reaches the output in layer3", attack).splitlines()
    worst = Result(genotype='"><b>bold</b>', digest="<i>", status="failed", reason="'\"<")
    journal.write_text("\n".join([*lines, json.dumps(worst.to_json())]) + "\n")
    html = render(load(folder), [])
    assert "<script>alert" not in html
    assert "onerror=alert" not in re.sub(r"&lt;.*?&gt;", "", html)
    assert "<b>bold" not in html
    assert "A" * 1000 not in html
    Page(html)


def test_a_search_without_winner_is_reported(make_run: Make) -> None:
    folder = make_run()
    (folder / "winner" / "winner.json").unlink()
    page = Page(write(folder).read_text(encoding="utf-8"))
    assert "No winner has been trained yet" in page.text
    assert {path.name for path in (folder / "figures").iterdir()} >= {"front.png", "trials.png"}
    assert not (folder / "figures" / "architecture.png").exists()


def test_a_search_in_which_every_trial_died_is_reported(make_run: Make) -> None:
    folder = make_run()
    (folder / "winner" / "winner.json").unlink()
    journal = folder / "trials.jsonl"
    dead = [line for line in journal.read_text().splitlines() if '"status": "ok"' not in line]
    journal.write_text("\n".join(dead) + "\n")
    assert "No trial has measured every objective yet" in write(folder).read_text(encoding="utf-8")


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    code = "import sys, snn_nas.report.table; print({'matplotlib', 'jinja2', 'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
