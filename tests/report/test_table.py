import io
from pathlib import Path

from rich.console import Console

from snn_nas.report import load
from snn_nas.report.table import pareto_table, rule_shares, share_table
from snn_nas.search.objective import objectives


def printed(table: object) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_front_is_printed_with_its_profile(run_folder: Path) -> None:
    run = load(run_folder)
    chosen = run.front[1]
    text = printed(pareto_table(run.results, run.search.front, profile="[bold]p", winner=chosen.digest))
    assert f"{len(run.front)} of 40 trials" in text
    assert "[bold]p" in text
    assert f"★ {run.results.index(chosen) + 1}" in text
    assert "more in the report" in printed(pareto_table(run.results, run.search.front, profile="p", limit=2))
    assert "energy" not in printed(pareto_table(run.results, objectives(["accuracy", "T"]), profile="p"))


def test_shares_sum_to_all_weights(run_folder: Path) -> None:
    winner = load(run_folder).winner
    assert winner is not None
    rows = rule_shares(winner)
    assert abs(sum(row.part for row in rows) - 1) < 1e-9
    assert sum(row.weights for row in rows) == winner.credit.graph.weights
    text = printed(share_table(winner))
    for layer in winner.layers:
        assert layer.name in text
