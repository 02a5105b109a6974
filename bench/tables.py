"""Tables as Markdown, and where they stand in the README: between the marks of the script that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

Row = Sequence[str]


def markdown(head: Row, rows: Sequence[Row]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def between(text: str, script: str) -> tuple[str, str, str]:
    """What stands before, between and after the marks of a script; raises ``ValueError`` when there are no such marks."""
    begin, end = f"<!-- {script} -->\n", f"<!-- end of {script} -->"
    before, found, rest = text.partition(begin)
    inside, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"README.md has no {begin.strip()} … {end}")
    return before + begin, inside, end + after


def replaced(text: str, script: str, made: str) -> str:
    """The README with what a script made between its marks."""
    before, _, after = between(text, script)
    return f"{before}{made}\n{after}"


def merged(text: str, script: str, rows: Sequence[Row], order: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows that stand in the README already, renewed by ``rows``: a row is known by its first two cells, which give the order."""
    inside = between(text, script)[1]
    old = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in inside.splitlines() if line[:2] == "| "]
    known: dict[tuple[str, str], Row] = {(row[0], row[1]): row for row in [*old, *rows] if len(row) > 1}
    return [known[key] for key in order if key in known]


def write(readme: Path, script: str, made: str) -> None:
    readme.write_text(replaced(readme.read_text(), script, made))
