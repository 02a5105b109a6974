"""How the program starts: a command's module, and all that it needs, is imported when the command is called and not before."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys

import pytest
import typer
from typer.main import get_command, get_group

from scs_deploy.cli import commands
from scs_deploy.cli.commands import COMMANDS, GROUPS
from scs_deploy.cli.main import app

START = """
import atexit, sys
sys.argv[0] = "scs-deploy"
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from scs_deploy.cli.__main__ import main
main()
"""
OWN = {
    "scs_deploy",
    *(f"scs_deploy.{name}" for name in ("cli", "errors", "machine", "machine.environment", "machine.paths")),
}
OWN |= {f"scs_deploy.cli.{name}" for name in ("__main__", "main", "common", "commands")}
HEAVY = {"ansible_runner", "cryptography", "jinja2", "jsonschema", "pydantic", "yaml"}
NAMES = [name for names in (*COMMANDS.values(), GROUPS) for name in names]


def started(*words: str, **environment: str) -> tuple[str, set[str]]:
    """What the program printed, and the modules it imported."""
    done = subprocess.run(
        [sys.executable, "-c", START, *words],
        env={**os.environ, "COLUMNS": "100", **environment},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, set(done.stderr.split())


def completed(words: str) -> tuple[list[str], set[str]]:
    number = len(words.split()) - (not words.endswith(" "))
    complete = {"_SCS_DEPLOY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(number)}
    out, modules = started(**complete)
    return out.split(), modules


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_what_needs_no_region_imports_nothing_for_one(words: list[str]) -> None:
    _, modules = started(*words)
    assert {name for name in modules if name.startswith("scs_deploy")} <= OWN
    assert not {name.split(".")[0] for name in modules} & HEAVY


def test_the_help_lists_every_command_in_its_order() -> None:
    assert re.findall(r"^│ ([a-z]+) ", started("--help")[0], re.MULTILINE) == NAMES


def test_a_command_imports_no_other_one() -> None:
    _, modules = started("lab", "--help")
    assert {name for name in modules if re.match(r"scs_deploy\.(cli|cloud|smoke)\.", name)} - OWN == {
        "scs_deploy.cli.lab"
    }


def test_the_shell_completes_names_options_and_what_is_in_a_group() -> None:
    names, modules = completed("scs-deploy s")
    assert names == [name for name in NAMES if name.startswith("s")]
    assert {name for name in modules if name.startswith("scs_deploy")} <= OWN
    assert completed("scs-deploy secrets ro")[0] == ["rotate"]
    assert "--detailed-exitcode" in completed("scs-deploy plan --de")[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_listed_command_is_what_its_module_says(name: str) -> None:
    listed, real = get_command(app).commands[name], commands.loaded(name)
    assert inspect.cleandoc(real.help).split("\n\n")[0] == listed.help
    for fact in ("name", "short_help", "hidden", "deprecated", "rich_help_panel"):
        assert (getattr(listed, fact) or None) == (getattr(real, fact) or None), fact


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_of_a_module_is_listed(module: str) -> None:
    registered = typer.Typer()
    commands._module(module).register(registered)
    assert list(get_group(registered).commands) == list(COMMANDS[module])
