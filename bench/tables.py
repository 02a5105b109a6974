"""Tables as Markdown, and where they stand in the README: between the marks of the script that made them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def replaced(text: str, script: str, made: str) -> str:
    """The README with what a script made between its marks; raises ``ValueError`` when it has no such marks."""
    begin, end = f"<!-- {script} -->", f"<!-- end of {script} -->"
    before, found, rest = text.partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"README.md has no {begin} … {end}")
    return f"{before}{begin}\n{made}\n{end}{after}"


def write(readme: Path, script: str, made: str) -> None:
    readme.write_text(replaced(readme.read_text(), script, made))
