"""Pages of measurements are made of what scripts kept as JSON, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import load
from bench.clients import Call
from proofs import pages

COSTS = {
    "ssh true": {"wall": 0.02, "cpu": 0.01},
    "ansible -m ping": {"wall": 20, "cpu": 16},
    "plan": {"wall": 30, "cpu": 24},
}
CALLS = [Call("network", "list", 200, float(second), 0.1) for second in range(100)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", pages.ABOUT)
def test_every_page_shows_what_is_kept(page: str) -> None:
    assert (pages.FOLDER / f"{page}.md").read_text() == pages.text(page), "run: python -m proofs.pages"


def test_rows_of_an_earlier_run_stay_in_their_order(folder: Path) -> None:
    head = ("a", "b", "c")
    pages.keep("drift", {"core": pages.table(head, [("k", "1", "old"), ("k", "2", "old"), ("gone", "x", "")], "")})
    order = [("k", str(number)) for number in range(4)]
    found = pages.merged("drift", "core", [("k", "2", "new"), ("k", "0", "new")], order)
    assert [tuple(row) for row in found] == [("k", "0", "new"), ("k", "1", "old"), ("k", "2", "new")]


def test_tables_of_one_page_are_kept_one_by_one(folder: Path) -> None:
    for name in ("core", "cloud", "core"):
        pages.keep("kills", {name: pages.table(("kill", "points"), [("power", name)], f"of {name}")})
    made = (folder / "kills.md").read_text()
    assert made.startswith("# Kills")
    assert made.endswith(
        "| power | core |\n\nof core\n\n| kill | points |\n| --- | --- |\n| power | cloud |\n\nof cloud\n"
    )


def test_the_table_says_how_many_times_ping_a_command_takes_and_where_that_was(folder: Path) -> None:
    pages.keep("scale", {"300": {"where": "load 0", "costs": COSTS}})
    pages.keep("scale", {"1": {"where": "load 9", "costs": COSTS}})
    made = (folder / "scale.md").read_text()
    assert "| 300 | 0.02 / 0.01 s | 20.0 / 16.0 s | 30.0 / 24.0 s (1.5× / 1.5×) |" in made
    assert made.index("| 1 | 0.02") < made.index("| 300 | 0.02")
    assert "1 nodes: load 9.\n300 nodes: load 0." in made


def test_loads_of_later_runs_join_the_earlier_ones(folder: Path) -> None:
    calls = [*CALLS, Call("network", "port made", 503, 100.0, 2.0, "no server")]
    pages.keep("load", {"1": {**load.summary(calls), "down": []}})
    memory = {"keystone": {"processes": 1, "worker_mb": 119.3, "other_mb": 9.2}}
    pages.keep("load", {"16": {**load.summary(calls), "down": ["Server x is DOWN"]}, pages.MEMORY: memory})
    made = (folder / "load.md").read_text()
    assert "| 1 | 101 | 102 | 1.0 | 1 | 0 |" in made
    assert "| 16 | 101 | 102 | 1.0 | 1 | 1 |" in made
    assert "| network | 1.0 / 0.10 / 0.10 | 1.0 / 0.10 / 0.10 |" in made
    assert "| keystone | 1 | 119 | 9 |" in made
