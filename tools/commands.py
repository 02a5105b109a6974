"""Writes docs/commands.md: every command with its arguments and options, as the program itself tells them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from scs_deploy.cli.commands import COMMANDS, GROUPS, loaded
from scs_deploy.cli.main import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
PROGRAM = "scs-deploy"
OPENING = f"""\
# Commands

Made by `python -m tools.commands` from what `{PROGRAM} --help` and `{PROGRAM} COMMAND --help` say; a region (`-r`) is a folder, or a name below `inventories/`.
"""


def page() -> str:
    return "\n".join([OPENING, *_list(), "", *_commands()])


def _list() -> Iterator[str]:
    for names in (*COMMANDS.values(), GROUPS):
        yield from (f"- [`{name}`](#{PROGRAM}-{name}): {text}" for name, text in names.items())


def _commands() -> Iterator[str]:
    context = typer.Context(get_command(app), info_name=PROGRAM)
    for name in (name for names in (*COMMANDS.values(), GROUPS) for name in names):
        made = get_docs_for_click(obj=loaded(name), ctx=context, indent=1, name=name, call_prefix=PROGRAM)
        yield made.replace("&#x27;", "'").replace("&quot;", '"')


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
