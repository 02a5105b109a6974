"""Commands for the region's vault: init, edit, show, rotate."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scs_deploy.catalogue.service import Secret
from scs_deploy.cli import common
from scs_deploy.cli.common import RegionOption, VaultOption
from scs_deploy.cli.rotate import rotate
from scs_deploy.errors import InputError
from scs_deploy.machine import paths
from scs_deploy.operations.site import Site
from scs_deploy.region.load import find_region
from scs_deploy.secrets import Vault, edit, password, value, vault

app = typer.Typer(no_args_is_help=True)
app.command()(rotate)


@app.command()
def init(region: RegionOption = None, vault_password: VaultOption = None) -> None:
    """Make the vault: its password, the internal CA and every secret that the services need.

    Run again, it only adds what is missing.

    Example:  scs-deploy secrets init -r box
    """
    site = common.site(region)
    if not (site.folder / vault.FILE).exists() and _by_default_file(vault_password):
        made = password.create(site.folder)
        if made:
            common.err.print(f"[bold]New vault password:[/bold] {escape(str(made))}")
            common.err.print("[yellow]Keep a copy elsewhere: without it, all secrets of this region are lost.[/yellow]")
    opened = Vault.open(site.folder, vault_password, new=True)
    new = opened.complete(site.secrets)
    common.out.print(f"{escape(str(opened.file.path))}: {len(opened.names)} secrets, {len(new)} new")
    if new:
        common.out.print(f"  new: {escape(', '.join(new))}")


@app.command(name="edit")
def edit_command(region: RegionOption = None, vault_password: VaultOption = None) -> None:
    """Change the secrets in $EDITOR; the clear text lies in a private folder in memory, only while the editor runs.

    Example:  EDITOR=nano scs-deploy secrets edit -r box
    """
    site = common.site(region)
    opened = Vault.open(site.folder, vault_password)
    changed = edit.edit(opened.file, _again, _declared(site))
    common.out.print("saved; 'scs-deploy plan' shows what depends on it" if changed else "nothing was changed")


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="NAME, or NAME/KEY of a mapping; default: list the names.")] = None,
    region: RegionOption = None,
    vault_password: VaultOption = None,
) -> None:
    """Print one secret in clear text.

    Example:  scs-deploy secrets show keystone-admin-password
    """
    opened = Vault.open(find_region(region, paths.inventories_search()), vault_password)
    if name is None:
        for known in opened.names:
            typer.echo(known)
        return
    name, _, key = name.partition("/")
    found = opened.get(name)
    if isinstance(found, dict):
        if key and key not in found:
            raise InputError(f"secret {name!r} has no key {key!r}", fix=f"its keys: {', '.join(found)}")
        typer.echo(found[key] if key else value.dump(found), nl=False)
        if key and not found[key].endswith("\n"):
            typer.echo()
    elif key:
        raise InputError(f"secret {name!r} is a single text, without keys", fix=f"ask for {name}")
    else:
        typer.echo(found)


def _declared(site: Site) -> dict[str, Secret]:
    """What the services of the catalogue say of secrets."""
    return {name: spec for service in site.catalogue.services.values() for name, spec in service.secrets.items()}


def _by_default_file(source: Path | None) -> bool:
    return source is None and not any(os.environ.get(name) for name in (password.VARIABLE, password.VARIABLE_FILE))


def _again(error: InputError) -> bool:
    common.err.print(f"[red]error[/red]: {escape(str(error))}")
    return sys.stdin.isatty() and typer.confirm("Edit again? (No discards what you typed.)", default=True)
