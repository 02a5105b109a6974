"""What all commands share: the region option, the console, and how errors and plans become text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

if TYPE_CHECKING:
    from scs_deploy.operations.site import Site

RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region",
        "-r",
        envvar="SCS_DEPLOY_REGION",
        help="Name or folder of the region; default: the only one there is.",
    ),
]
VaultOption = Annotated[
    Path | None,
    typer.Option(
        "--vault-password-file",
        help="File, or command, that gives the password of the region's vault.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option("--limit", "-l", help="Only this node, group or rack; may be repeated.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return a text without control characters but tab and newline: much of what is told is in words of nodes."""
    return _CONTROL.sub("\ufffd", text)


class Terminal(Console):
    """A console on which nothing but itself controls the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


out = Terminal(highlight=False, soft_wrap=True, emoji=False)
err = Terminal(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def site(region: str | None) -> Site:
    """Read a region that is given by name or path, or is the only one; raises ``InputError`` when that fails."""
    # Imported here: --version and --help need this module's console, and of a region nothing.
    from scs_deploy.operations.site import find_site

    return find_site(region)


def print_json(data: Any) -> None:
    out.print_json(data=data) if out.is_terminal else out.out(_dumps(data))


def _dumps(data: Any) -> str:
    import json

    return json.dumps(data, indent=1, default=str)


def duration(seconds: float) -> str:
    """``4.2 s``, or ``3 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
