"""What scripts of this folder print into docs/measurements: a page for each script, with its tables between marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "measurements"

Row = Sequence[str]


def page(script: str) -> Path:
    """The page of a script: ``bench/kills.py core`` writes into kills.md."""
    return FOLDER / f"{Path(script.split()[0]).stem}.md"


def markdown(head: Row, rows: Sequence[Row]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def between(text: str, script: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of ``script``, such as ``bench/scale.py``; raises ``ValueError`` without marks."""
    begin, end = f"<!-- {script} -->", f"<!-- end of {script} -->"
    before, found, rest = text.partition(begin)
    inside, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"the page has no {begin} … {end}")
    return before + begin, inside, end + after


def replaced(text: str, script: str, made: str) -> str:
    """Return the page with ``made`` between the marks of a script."""
    before, _, after = between(text, script)
    return f"{before}\n{made.strip()}\n{after}"


def merged(text: str, script: str, rows: Sequence[Row], order: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows that stand in the page already, renewed by ``rows``: a row is known by its first two cells, which give the order."""
    inside = between(text, script)[1]
    old = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in inside.splitlines() if line[:2] == "| "]
    known: dict[tuple[str, str], Row] = {(row[0], row[1]): row for row in [*old, *rows] if len(row) > 1}
    return [known[key] for key in order if key in known]


def write(script: str, made: str) -> None:
    path = page(script)
    path.write_text(replaced(path.read_text(), script, made))
