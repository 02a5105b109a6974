"""Commands for a running region: status, drift, logs, exec."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from scs_deploy.catalogue.names import unit_name
from scs_deploy.cli import common
from scs_deploy.cli.change import look, observing
from scs_deploy.cli.common import JsonOption, LimitOption, RegionOption, VaultOption
from scs_deploy.cli.plan_text import print_plan
from scs_deploy.errors import CHANGES_PENDING, UsageError
from scs_deploy.machine.files import write_atomic
from scs_deploy.operations.incomplete import unreachable_error
from scs_deploy.operations.plan import Scope
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site
from scs_deploy.operations.status import StatusRow, drift, rows
from scs_deploy.operations.store import Store
from scs_deploy.plan.drift import Drift
from scs_deploy.region.placement import Placed
from scs_deploy.secrets import Preview, Vault

InstanceArgument = Annotated[
    str, typer.Argument(help="Instance, such as keystone, or NODE/INSTANCE where several nodes have it.")
]
_STYLES = {"healthy": "green", "absent": "red", "present": "green", "active": "green"}


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command(name="drift")(drift_command)
    app.command()(logs)
    app.command(name="exec", context_settings={"ignore_unknown_options": True})(exec_command)


def status(
    region: RegionOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Show every instance: whether it is healthy, since when it runs, and what a plan would do to it.

    Users, endpoints and other resources behind APIs are looked at by plan and drift only. Exits with 1 when something is
    unhealthy or absent, or a node does not answer.
    """
    site = common.site(region)
    preview = Preview(Vault.open(site.folder, vault_password, new=True), site.secrets)
    with reach(site.region) as fleet:
        planned = look(site, Store.of(site.region), preview, fleet, Scope(tuple(limit or ()), resources=False))
    plan, unreachable, found = planned.plan, planned.look.unreachable, rows(planned)
    if as_json:
        common.print_json(
            {
                "instances": [asdict(row) for row in found],
                "unreachable": dict(unreachable),
                "notes": list(plan.notes),
            }
        )
    else:
        _print_rows(found)
        for note in plan.notes:
            common.err.print(escape(note))
    if unreachable:
        raise unreachable_error(unreachable)
    if any(row.state == "absent" or row.state.startswith("unhealthy") for row in found):
        raise typer.Exit(1)


def drift_command(
    region: RegionOption = None,
    limit: LimitOption = None,
    as_json: JsonOption = False,
    textfile: Annotated[
        Path | None,
        typer.Option("--textfile", help="Write counts for the textfile collector of Prometheus' node exporter."),
    ] = None,
    vault_password: VaultOption = None,
) -> None:
    """Look whether somebody changed what was applied: files, units, containers, users, endpoints. Changes nothing.

    Exits with 4 when there is drift, with 1 when something cannot be looked at, with 5 while an apply is running. What region.yml
    asks for since the last apply is no drift; plan shows both.

    Examples:  scs-deploy drift    scs-deploy drift --json    scs-deploy drift --textfile /var/lib/node-exporter/drift.prom
    """
    site = common.site(region)
    preview = Preview(Vault.open(site.folder, vault_password, new=True), site.secrets)
    with reach(site.region) as fleet, observing(site) as progress:
        found = drift(site, Store.of(site.region), preview, fleet, limit or (), progress)
    if textfile:
        write_atomic(textfile, found.metrics(time.time()), 0o644)
    if as_json:
        common.print_json(found.as_json())
    else:
        print_plan(common.out, replace(found.found, notes=()), summary=False)
        common.out.print(f"[bold]{_drift_summary(found)}[/bold]")
    if found.found.unknown:
        raise unreachable_error(found.found.unknown)
    if found.found.steps:
        raise typer.Exit(CHANGES_PENDING)


def _drift_summary(found: Drift) -> str:
    count, pending = len(found.found.steps), len(found.pending.steps)
    text = f"Drift: {count} difference{'' if count == 1 else 's'}; apply repairs." if count else "Drift: none."
    return text + (f" Not applied yet, so no drift: {pending} change{'' if pending == 1 else 's'}." if pending else "")


def _print_rows(found: list[StatusRow]) -> None:
    table = Table("node", "instance", "state", "runs for", "image", "plan")
    now = time.time()
    for row in found:
        style = _STYLES.get(row.state, "red")
        since = common.duration(max(0.0, now - row.since)) if row.since else ""
        table.add_row(
            row.node,
            row.instance,
            f"[{style}]{escape(row.state)}[/{style}]",
            since,
            escape(row.image[:12]),
            row.pending,
        )
    common.out.print(table)


def logs(
    instance: InstanceArgument,
    region: RegionOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as new lines come.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many past lines.")] = 100,
    since: Annotated[str, typer.Option("--since", help="Such as '10 min ago' (journalctl).", show_default=False)] = "",
) -> None:
    """Show the log of an instance, from its node's journal.

    Examples:  scs-deploy logs keystone    scs-deploy logs n1/mariadb -f
    """
    site = common.site(region)
    placed = _find(site, instance)
    component = site.catalogue.component(placed.component)[1]
    unit = (component.kind == "host" and component.unit) or unit_name(placed.name)
    command = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={lines}", f"--unit={unit}"]
    command += ["--follow"] if follow else []
    command += [f"--since={since}"] if since else []
    with reach(site.region) as fleet:
        raise typer.Exit(fleet.connections[placed.node].lines(command, lambda line: common.out.out(line, end="")))


def exec_command(
    instance: InstanceArgument,
    command: Annotated[list[str], typer.Argument(help="Command to run inside the container.")],
    region: RegionOption = None,
    interactive: Annotated[bool, typer.Option("--tty", "-t", help="With a terminal.")] = False,
) -> None:
    """Run a command inside the container of an instance.

    What it prints reaches the terminal as it is.

    Example:  scs-deploy exec -t mariadb -- mariadb
    """
    site = common.site(region)
    placed = _find(site, instance)
    if site.catalogue.component(placed.component)[1].kind == "host":
        raise UsageError(f"{placed.name} is not a container", fix="use scs-deploy lab ssh, or ssh")
    engine = site.nodes[placed.node].engine
    argv = [engine, "exec", *(["--interactive", "--tty"] if interactive else []), placed.name, *command]
    with reach(site.region) as fleet:
        raise typer.Exit(fleet.connections[placed.node].run(argv, tty=interactive))


def _find(site: Site, name: str) -> Placed:
    """Return the instance a person means; raises ``UsageError`` when there is none, or several."""
    node, _, instance = name.rpartition("/")
    found = [one for one in site.placement.placed if one.name == instance and node in {"", one.node}]
    if len(found) == 1:
        return found[0]
    if not found:
        known = sorted({one.name for one in site.placement.placed})
        raise UsageError(f"there is no instance {name}", fix=f"known: {', '.join(known)}")
    raise UsageError(
        f"{name} runs on {len(found)} nodes", fix=f"name one: {', '.join(f'{one.node}/{one.name}' for one in found)}"
    )
