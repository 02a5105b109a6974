"""What scripts of this folder print into README.md, each between marks of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def marks(script: str) -> tuple[str, str]:
    """Before and after what ``script``, such as ``bench/scale.py``, has printed."""
    return f"<!-- {script} -->", f"<!-- end of {script} -->"


def replaced(text: str, script: str, made: str) -> str:
    """Return the README with ``made`` between the marks of a script; raises ``ValueError`` when it has none."""
    first, last = marks(script)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise ValueError(f"README.md has no {first} … {last}")
    return f"{before}{begin}\n{made.strip()}\n{end}{after}"


def write(script: str, made: str) -> None:
    README.write_text(replaced(README.read_text(), script, made))
