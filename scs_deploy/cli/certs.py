"""Commands for the region's certificates: show, renew, and import of the key of one's own."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from scs_deploy.cli import common
from scs_deploy.cli.change import ServiceOption, YesOption, carry_out, confirm, look
from scs_deploy.cli.common import JsonOption, RegionOption, VaultOption
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.errors import InputError
from scs_deploy.machine import paths
from scs_deploy.operations import certificates
from scs_deploy.operations.certificates import CertificateRow
from scs_deploy.operations.plan import desired
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.secrets import Preview, Vault, pki
from scs_deploy.secrets.vault import FILE, PUBLIC_KEY

app = typer.Typer(no_args_is_help=True)

NodeOption = Annotated[
    list[str] | None,
    typer.Option("--node", "--limit", "-l", help="Only this node, group or rack; may be repeated.", show_default=False),
]
_STYLES = {"good": "green", "expired": "red"}


@app.command()
def show(
    region: RegionOption = None,
    limit: NodeOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Show every certificate: whom it names, when it ends, and what its renewal takes. Looks at no node.

    The next apply renews what has less than a third of its life left. Exits with 1 when one has expired or ends within 30 days:
    nobody applied for months.

    Examples:  scs-deploy certs show    scs-deploy certs show --service mariadb --json
    """
    site = common.site(region)
    store, vault = Store.of(site.region), Vault.open(site.folder, vault_password, new=True)
    found = _chosen(site, store, vault, limit, service, None, ca=not (limit or service))
    if as_json:
        common.print_json({"certificates": [asdict(row) for row in found]})
    else:
        _print(found)
        known = store.facts(site.nodes)
        unknown = [name for name, node in site.nodes.items() if node.state != "absent" and name not in known]
        if unknown:
            common.err.print(f"not listed, because they were never reached: {', '.join(unknown)}")
    if any(row.late for row in found):
        raise typer.Exit(1)


@app.command()
def renew(
    region: RegionOption = None,
    limit: NodeOption = None,
    service: ServiceOption = None,
    within: Annotated[
        int | None, typer.Option("--within", min=0, help="Only those that end within so many days.", show_default=False)
    ] = None,
    due: Annotated[
        bool,
        typer.Option("--due", help="Only those that the next apply would renew: for a timer."),
    ] = False,
    authority: Annotated[bool, typer.Option("--ca", help="The internal CA itself: refused, with what to do.")] = False,
    yes: YesOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Issue new certificates and keys and place them: exactly that is planned, shown and applied.

    A service that can reload keeps its process and its connections; others restart, one failure domain at a time.

    Examples:  scs-deploy certs renew --due --yes    scs-deploy certs renew --node n1 --service haproxy --yes
    """
    if authority:
        raise InputError(
            "the internal CA is not renewed by this command",
            why="every service trusts exactly one CA; with a new one all certificates change, and until the last service has its "
            "own, old and new ones do not trust each other",
            fix="in a maintenance window: remove ca-key and ca-cert with 'scs-deploy secrets edit', then scs-deploy apply; "
            "clients need the new ca.pem (scs-deploy credentials)",
        )
    site = common.site(region)
    store, vault = Store.of(site.region), Vault.open(site.folder, vault_password, new=True)
    with store.lock("certs renew"), reach(site.region) as fleet:
        found = _chosen(site, store, vault, limit, service, within)
        chosen = [row for row in found if not due or row.state != "good"]
        if not chosen:
            common.out.print("No certificate is to be renewed; nothing was changed.")
            return
        # Others that are due wait for the next apply.
        preview = Preview(vault, site.secrets, chosen=[(row.node, row.instance) for row in chosen])
        planned = look(site, store, preview, fleet)
        if certificates.strangers(planned.plan, chosen):
            print_plan(common.out, planned.plan, diffs=False)
        certificates.check_renewal(planned.plan, planned.look.clocks, chosen)
        print_plan(common.out, planned.plan, diffs=False)
        confirm(yes, f"Renew {len(chosen)} certificates?")
        carry_out(site, store, vault, fleet, planned)
    common.out.print(f"[bold]Renewed: {len(chosen)} certificate{'' if len(chosen) == 1 else 's'}.[/bold]")


@app.command(name="import")
def import_key(
    key: Annotated[
        str,
        typer.Argument(metavar="KEYFILE", help="Private key in PEM, without a password; - reads it from the input."),
    ],
    region: RegionOption = None,
    vault_password: VaultOption = None,
) -> None:
    """Put the private key of the public certificate, which region.yml names, into the vault; apply then places both.

    Example:  openssl pkey -in encrypted.key | scs-deploy certs import -
    """
    site = common.site(region)
    public = site.region.public_tls
    if public is None:
        raise InputError(
            "region.yml names no public certificate",
            where=str(site.folder / "region.yml"),
            fix="put its file into that folder and write public_tls: {certificate: FILE}; see "
            + paths.page("secrets.md"),
        )
    pem = pki.plain_key(_key(key))
    if not pki.belongs(pem, public.chain_pem):
        raise InputError(
            "the key is not that of the public certificate; nothing was changed",
            where=public.place.where,
            fix="give the key with which that certificate was requested",
        )
    vault = Vault.open(site.folder, vault_password, new=True)
    vault.complete({})
    vault.change(lambda values: {**values, PUBLIC_KEY: pem})
    common.out.print(f"{PUBLIC_KEY} is in {site.folder / FILE}; apply places it. Remove what it was read from.")


def _key(source: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise InputError(
            "the key cannot be read", where=source, why=error.strerror or "", fix="check the path"
        ) from error


def _chosen(
    site: Site,
    store: Store,
    vault: Vault,
    limit: list[str] | None,
    services: list[str] | None,
    within: int | None,
    *,
    ca: bool = False,
) -> list[CertificateRow]:
    site.check_services(services or ())
    nodes = {*site.limited(limit or ()), *([""] if ca else [])}
    found = certificates.rows(site.region, vault, desired(site, store, Preview(vault, site.secrets)))
    return certificates.choose(found, nodes, services or (), within)


def _print(found: list[CertificateRow]) -> None:
    table = Table("node", "instance", "names", "ends", "days left", "renewal", "state")
    for row in found:
        style = _STYLES.get(row.state, "yellow")
        table.add_row(
            row.node, row.instance, ", ".join(row.names), row.ends[:10], str(row.days) if row.ends else "",
            row.on_renewal, f"[{style}]{escape(row.state)}[/{style}]",
        )  # fmt: skip
    common.out.print(table)
