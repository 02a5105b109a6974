"""Commands for those who use the cloud: credentials writes the files to log in, prove logs in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, RegionOption, VaultOption
from scs_deploy.cloud import credentials, prove
from scs_deploy.cloud.credentials import Login
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site
from scs_deploy.secrets import Vault


def register(app: typer.Typer) -> None:
    app.command(name="credentials")(credentials_command)
    app.command(name="prove")(prove_command)


def credentials_command(
    region: RegionOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write to; default: the region's folder.")
    ] = None,
    vault_password: VaultOption = None,
) -> None:
    """Write clouds.yaml and the CA's certificate for the openstack client; the file holds the administrator's password.

    Examples:  scs-deploy credentials    scs-deploy credentials --out ~/.config/openstack
    """
    site = common.site(region)
    clouds, changed = credentials.write(_login(site, vault_password, credentials.ADMIN), out or site.folder)
    common.out.print(f"{escape(str(clouds))}: {'written' if changed else 'unchanged'}, cloud {site.region.name}")


def prove_command(
    region: RegionOption = None,
    as_json: JsonOption = False,
    wait: Annotated[float, typer.Option("--wait", min=0, help="Seconds to try again while nobody answers.")] = 15,
    vault_password: VaultOption = None,
) -> None:
    """Get a token over TLS as users do: from outside the nodes, at the public address, the certificate verified.

    Example:  scs-deploy prove -r box
    """
    site = common.site(region)
    login = _login(site, vault_password, credentials.OWN)
    with reach(site.region):
        proof = prove.token_within(login, wait)
    if as_json:
        common.print_json(asdict(proof))
        return
    common.out.print(
        f"token for {escape(proof.user)}: {proof.tls} to {proof.url} at {proof.address}, certificate verified, "
        f"valid until {proof.expires}, {common.duration(proof.seconds)}"
    )
    for kind, url in proof.services:
        common.out.print(f"  {kind:<16} {url}")


def _login(site: Site, vault_password: Path | None, account: str) -> Login:
    return credentials.login(site.region, site.catalogue, Vault.open(site.folder, vault_password), account)
