"""``scs-deploy cloud``: what a deployed cloud holds."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer
from rich.markup import escape

from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, RegionOption, VaultOption
from scs_deploy.cloud import credentials
from scs_deploy.cloud import setup as cloud_setup
from scs_deploy.cloud.access import Access
from scs_deploy.cloud.credentials import OWN
from scs_deploy.cloud.plan import ContentChange, ContentPlan
from scs_deploy.cloud.spec import load
from scs_deploy.errors import CHANGES_PENDING, DeployError, UsageError
from scs_deploy.operations.reach import reach
from scs_deploy.operations.store import Store
from scs_deploy.secrets import Vault

app = typer.Typer(
    name="cloud",
    help="What a deployed cloud holds: flavors, images, the external network, roles.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_SIGNS = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "replace": ("~", "yellow"),
    "keep": ("=", "dim"),
    "wrong": ("!", "red"),
}
_DONE = {"create": "created", "update": "changed", "replace": "made anew"}


@app.callback()
def _group() -> None:
    """What a deployed cloud holds."""


@app.command(
    epilog="Examples:  scs-deploy cloud setup --dry-run    scs-deploy cloud setup --yes    cloud.yml in the region's "
    "folder says what is wanted beside the standard"
)
def setup(
    region: RegionOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be made and changed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
    detailed: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode", help=f"With --dry-run: exit with {CHANGES_PENDING} when something differs."
        ),
    ] = False,
    vault_password: VaultOption = None,
) -> None:
    """Give the cloud what a Sovereign Cloud Stack cloud holds; what is there and right is kept."""
    site = common.site(region)
    spec, store = load(site.region), Store.of(site.region)
    login = credentials.login(site.region, site.catalogue, Vault.open(site.folder, vault_password), OWN)
    with reach(site.region), Access(site.region, login) as access, store.lock("cloud setup"):
        cloud = access.admin()
        with common.err.status("looking at the cloud") as status:
            world = cloud_setup.look(site.region, spec, cloud, status.update)
            plan = cloud_setup.make_plan(world, cloud, status.update)
        if not as_json:
            _print_plan(plan)
        if dry_run or plan.empty:
            if as_json:
                common.print_json(plan.as_json())
            if detailed and not plan.empty:
                raise typer.Exit(CHANGES_PENDING)
            return
        if plan.of("create", "update", "replace"):
            _confirm(yes)
        _apply(plan, access, as_json)


def _apply(plan: ContentPlan, access: Access, as_json: bool) -> None:
    began = time.monotonic()
    failed: list[str] = []

    def done(change: ContentChange, error: DeployError | None) -> None:
        name = f"{change.kind} {change.item.name}"
        if error:
            failed.append(name)
            common.err.print(f"[red]failed[/red]: {escape(str(error))}")
        elif not as_json:
            common.out.print(f"  [green]{_DONE[change.op]}[/green] {escape(name)}")

    cloud = access.admin()
    failures = cloud_setup.apply(plan, cloud, done)
    count = len(plan.of("create", "update", "replace", "wrong")) - len(failures)
    if as_json:
        answer = plan.as_json()
        answer["failed"] = [
            {"kind": one.change.kind, "name": one.change.item.name, "why": str(one.error)} for one in failures
        ]
        common.print_json(answer)
    else:
        text = f"{count} made or changed, {len(plan.of('keep'))} kept, {len(failures)} failed"
        common.out.print(f"[bold]{text} in {common.duration(time.monotonic() - began)}[/bold]")
    if failures:
        raise DeployError(
            f"{len(failures)} objects are not as wanted",
            where=", ".join(failed),
            fix="repair the cause above and run scs-deploy cloud setup again: what was made is kept",
        )


def _print_plan(plan: ContentPlan) -> None:
    for change in plan.changes:
        sign, style = _SIGNS[change.op]
        if change.op == "keep":
            continue
        common.out.print(f"  [{style}]{sign} {escape(change.kind)} {escape(change.item.name)}[/{style}]")
        for one in change.differences:
            text = f"{one.what}: {one.shown_wanted}" if change.op == "create" else str(one)
            common.out.print(f"      {escape(text)}")
    for what, why in plan.left_out.items():
        common.out.print(f"[dim]no {escape(what)}: {escape(why)}[/dim]")
    for note in plan.notes:
        common.out.print(f"[dim]note: {escape(note)}[/dim]")
    common.out.print(f"[bold]{escape(plan.summary())}[/bold]")


def _confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on", fix="add --yes, or look first with --dry-run")
    if not typer.confirm("Make it so?"):
        raise typer.Exit(1)
