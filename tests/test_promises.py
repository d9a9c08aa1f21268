"""The page of promises names tests that exist; and those promises that have no better place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from neurons.errors import UserError
from snn_nas import network
from snn_nas.cli import cli
from snn_nas.evaluation import EvaluationSettings, evaluate
from snn_nas.genotype import parse
from snn_nas.nni.experiment import Experiment
from snn_nas.nni.messages import TITLE_WARNING
from snn_nas.search.early_stop import Hopeless
from tests import REPOSITORY

PAGE = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
SETTINGS = EvaluationSettings.of({"data": "digits", "train": 300, "epochs": 2, "batch_size": 32, "energy_images": 20})


def test_every_promise_stands_on_the_page_with_tests_and_a_way_to_see_it() -> None:
    sections = re.split(r"^## (\d+)\. ", PAGE.partition("# When the machine fails")[0], flags=re.M)
    assert [int(number) for number in sections[1::2]] == list(range(1, 13))
    for text in sections[2::2]:
        assert "\n- `tests/" in text
        assert "\nBy hand" in text


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE))))
def test_the_tests_that_the_page_names_exist(name: str) -> None:
    file, _, function = name.partition("::")
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


# ---- 4: networks that do not work


def test_a_saturated_network_is_dead_after_one_epoch_and_says_which_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    build = network.build

    def driven(*args: Any, **given: Any) -> network.Network:
        """Every neuron gets far more current than it needs to fire in each step."""
        made = build(*args, **given)
        norm = next(module for module in made.modules() if isinstance(module, torch.nn.BatchNorm2d))
        torch.nn.init.constant_(norm.bias, 1e3)
        return made

    monkeypatch.setattr(network, "build", driven)
    epochs: list[int] = []
    always = parse("chain(T=2){conv(c=8)@local/lif(reset=hard); readout@delta}")
    result = evaluate(always, SETTINGS, 0, lambda number, _: epochs.append(number))
    assert result.status == "dead"
    assert "layer1 is saturated" in result.reason
    assert epochs == [1]


def test_who_falls_behind_and_is_at_chance_is_dead() -> None:
    """Also where the search calls it hopeless in the same moment: that it does not work says more."""

    def hopeless(number: int, metrics: object) -> None:
        raise Hopeless("below the median")

    silent = parse("chain(T=2){conv(c=8)@local/lif(threshold=900.0); readout@delta}")
    assert evaluate(silent, SETTINGS, 0, hopeless).status == "dead"
    with pytest.raises(Hopeless):
        evaluate(parse("chain(T=2){conv(c=16)@local/lif(threshold=0.5); readout@delta}"), SETTINGS, 0, hopeless)


# ---- 7: nothing runs what a file says


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


SOURCES = sorted(path for floor in ("neurons", "rules", "snn_nas") for path in (REPOSITORY / floor).rglob("*.py"))
UNPICKLER = REPOSITORY / "snn_nas" / "data" / "unpickle.py"


HIDDEN = {("torch", "load"), ("numpy", "load"), ("os", "system"), ("os", "popen"), ("builtins", "eval")}
HIDDEN |= {("yaml", name) for name in ("load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader")}


def hides(node: ast.AST) -> bool:
    """Whether an import gives a function of danger, or its module, a name under which it would not be seen below."""
    if isinstance(node, ast.ImportFrom):
        return any((node.module, name.name) in HIDDEN or node.module == "builtins" for name in node.names)
    if isinstance(node, ast.Import):
        known = {module for module, _ in HIDDEN}
        return any(
            name.name == "builtins" or (name.name in known and name.asname not in (None, "np")) for name in node.names
        )
    return False


@pytest.mark.parametrize(
    "line", ["from torch import load", "from yaml import load as read", "import builtins", "import torch as t"]
)
def test_a_hidden_name_is_seen(line: str) -> None:
    assert any(map(hides, ast.walk(ast.parse(line))))


def test_nothing_in_the_source_runs_what_a_file_says() -> None:
    assert len(SOURCES) > 50
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        dangerous = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"} - (
            {"pickle"} if path == UNPICKLER else set()
        )
        assert not {name.partition(".")[0] for name in imported} & dangerous, path
        assert not any(map(hides, ast.walk(tree))), path
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        safe = {"yaml.SafeLoader"} | {
            made.name for made in classes if [*map(ast.unparse, made.bases)] == ["yaml.SafeLoader"]
        }
        for name, call in calls(tree):
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert name not in ("eval", "exec", "compile", "__import__"), (path, call.lineno)
            if re.fullmatch(r"yaml\.(load|unsafe_load|full_load)(_all)?", name):
                loader = given.get("Loader") or ast.unparse(call.args[-1])
                assert (name, loader in safe) == ("yaml.load", True), (path, call.lineno)
            assert name not in ("os.system", "os.popen"), (path, call.lineno)
            assert given.get("shell") != "True", (path, call.lineno)
            if name == "torch.load":
                assert given.get("weights_only") == "True", (path, call.lineno)
            if name in ("np.load", "numpy.load"):
                assert given.get("allow_pickle") in (None, "False"), (path, call.lineno)


# ---- 10: servers


def test_another_host_is_said_in_words_that_cannot_be_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stop(_: Experiment) -> None:
        raise UserError("this is as far as the test goes")

    monkeypatch.setattr(Experiment, "start", stop)
    config = str(REPOSITORY / "experiments" / "quickstart.yml")
    for host, said in (("0.0.0.0", True), ("127.0.0.1", False), ("localhost", False)):
        words = ["search", "--config", config, "--out", str(tmp_path), "--host", host]
        done = CliRunner().invoke(cli, words)
        assert isinstance(done.exception, UserError)
        assert (f"NNI's page will listen on {host}. It has NO login" in " ".join(done.output.split())) == said


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").glob("*.yml")), ids=lambda path: path.stem)
def test_shipped_configurations_warn_in_their_title(path: Path) -> None:
    """Bare nnictl shows the name as it stands; `snn-nas search` takes the warning off, for there it is not so."""
    name = yaml.safe_load(path.read_text(encoding="utf-8"))["experimentName"]
    assert name.startswith(TITLE_WARNING)
    assert name != TITLE_WARNING
    assert not Experiment(path).config["experimentName"].startswith(TITLE_WARNING)
