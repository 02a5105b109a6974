"""The command line: puts the commands together and is the one place where an error becomes text and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, NoReturn

import typer
from rich.markup import escape

from scs_deploy import __version__
from scs_deploy.cli import common
from scs_deploy.cli.commands import Commands
from scs_deploy.errors import DeployError, InputError, Interrupted

app = typer.Typer(
    name="scs-deploy",
    cls=Commands,
    help="Installs and keeps alive the base layer of a Sovereign Cloud Stack cloud.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Examples:  scs-deploy validate -r box    scs-deploy plan    scs-deploy apply --yes    scs-deploy status",
)


def _version(value: bool) -> None:
    if value:
        common.out.print(f"scs-deploy {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks of internal errors.")] = False,
) -> None:
    if verbose:
        os.environ["SCS_DEPLOY_VERBOSE"] = "1"


def main() -> None:
    """Entry point of the ``scs-deploy`` program."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except DeployError as error:
        fail(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception:  # noqa: BLE001 - a mistake of ours: its words may be those of a node, and go the way of all others
        common.err.print_exception()
        sys.exit(1)


def _interrupt(number: int, frame: object) -> NoReturn:
    """Raise our own exception: typer would turn KeyboardInterrupt into exit code 1, and SIGTERM would clean up nothing."""
    raise Interrupted(
        f"interrupted by {signal.Signals(number).name}",
        fix="run the same command again: it goes on where this one stopped",
    )


def fail(error: DeployError) -> NoReturn:
    """Print an error as text and end with its exit code."""
    if isinstance(error, InputError):
        for finding in error.findings:
            style = "yellow" if finding.severity == "warning" else "red"
            common.err.print(f"[{style}]{finding.severity}[/{style}]: {escape(str(finding))}")
        count = len(error.findings)
        if count > 1:
            common.err.print(f"{count} findings; nothing was changed.")
    else:
        common.err.print(f"[red]error[/red]: {escape(str(error))}")
    if os.environ.get("SCS_DEPLOY_VERBOSE"):
        common.err.print_exception()
    sys.exit(error.exit_code)
