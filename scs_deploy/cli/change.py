"""Commands that change nodes, or say what would change: plan, apply, destroy."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, LimitOption, RegionOption, VaultOption
from scs_deploy.cli.plan_page import page
from scs_deploy.cli.plan_text import print_plan, title
from scs_deploy.cli.progress import ApplyProgress
from scs_deploy.errors import CHANGES_PENDING, DeployError, InputError, LockedError, StalePlanError, UsageError
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations import certificates
from scs_deploy.operations.apply import Report, StepReport, apply, nothing_to_do, refuse_certificates, settle
from scs_deploy.operations.incomplete import refused_error, unreachable_error
from scs_deploy.operations.plan import WHOLE, Planned, Scope, make_plan, plan_removal
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.plan.plan import Saved, read_saved, saved
from scs_deploy.secrets import Preview, Vault, pki

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ServiceOption = Annotated[
    list[str] | None, typer.Option("--service", "-s", help="Only this service; may be repeated.", show_default=False)
]
PurgeOption = Annotated[bool, typer.Option("--purge", help="Also delete the data of what is removed.")]


def register(app: typer.Typer) -> None:
    app.command(name="plan")(plan_command)
    app.command(name="apply")(apply_command)
    app.command()(destroy)


def plan_command(
    region: RegionOption = None,
    limit: LimitOption = None,
    service: ServiceOption = None,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Save the plan; apply FILE then does exactly this.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the plan as one page for a browser, to review it with others.")
    ] = None,
    detailed: Annotated[
        bool, typer.Option("--detailed-exitcode", help=f"Exit with {CHANGES_PENDING} when something would change.")
    ] = False,
    purge: PurgeOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Show what apply would do: every file, restart, job and resource, with reasons. Changes no node.

    Examples:  scs-deploy plan    scs-deploy plan --limit n1 --json    scs-deploy plan --out tonight.plan --html tonight.html
    """
    site = common.site(region)
    certificates.check_public(site.region, pki.utc_now())
    preview = Preview(Vault.open(site.folder, vault_password, new=True), site.secrets)
    with reach(site.region) as fleet:
        planned = look(site, Store.of(site.region), preview, fleet, scope_of(limit, service, purge))
    refuse_certificates(planned)
    plan = planned.plan
    if preview.missing:
        common.err.print(f"{_secrets(preview)} not made yet; apply does that: {', '.join(preview.missing)}")
    if out:
        _write(out, saved(plan))
    if html:
        _write(html, page(plan, datetime.datetime.now(datetime.UTC)))
    if as_json:
        common.print_json(plan.as_json())
    else:
        print_plan(common.out, plan)
        if out:
            common.out.print(f"Saved: {out}. Carry it out with: scs-deploy apply {out}")
        if html:
            common.out.print(f"Page: {html}")
    if plan.unknown:
        raise unreachable_error(plan.unknown)
    if plan.refused:
        raise refused_error(plan)
    if detailed and not plan.empty:
        raise typer.Exit(CHANGES_PENDING)


def scope_of(limit: Sequence[str] | None, services: Sequence[str] | None = None, purge: bool = False) -> Scope:
    return Scope(tuple(limit or ()), tuple(services or ()), purge)


def look(site: Site, store: Store, preview: Preview, fleet: Fleet, scope: Scope = WHOLE) -> Planned:
    """Observe nodes, with a spinner on a terminal, and make the plan."""
    with observing(site) as progress:
        planned = make_plan(site, store, preview, fleet, scope, progress)
    if planned.rounds > 1 and planned.look.observed:
        common.err.print("facts of some nodes were new, so they were looked at twice")
    return planned


@contextmanager
def observing(site: Site) -> Iterator[Callable[[str, str], None]]:
    """Show on a terminal how many nodes have answered."""
    seen: list[str] = []
    total = len(site.nodes)
    with common.err.status(f"observing {total} node{'s' if total != 1 else ''}") as status:

        def progress(node: str, state: str) -> None:
            seen.append(node)
            status.update(f"observing: {len(seen)}/{total} answered")

        yield progress


def _secrets(preview: Preview) -> str:
    return f"{len(preview.missing)} secret{'s are' if len(preview.missing) != 1 else ' is'}"


def apply_command(
    planfile: Annotated[
        Path | None, typer.Argument(help="A plan saved by plan --out; refused when it is stale.", show_default=False)
    ] = None,
    region: RegionOption = None,
    limit: LimitOption = None,
    service: ServiceOption = None,
    yes: YesOption = False,
    purge: PurgeOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Carry out the difference between the region and its nodes, wave by wave.

    Examples:  scs-deploy apply    scs-deploy apply --yes --limit n1    scs-deploy apply tonight.plan
    """
    wanted: Saved | None = None
    if planfile:
        if limit or service or purge:
            raise UsageError("a plan file excludes --limit, --service and --purge", why="a saved plan knows them")
        wanted = _read(planfile)
        limit, service, purge = list(wanted.limit), list(wanted.services), wanted.purge
    site = common.site(region)
    if wanted and wanted.region != site.region.name:
        raise UsageError(f"the plan is for the region {wanted.region}, not {site.region.name}", where=str(planfile))
    certificates.check_public(site.region, pki.utc_now())
    store, vault = Store.of(site.region), Vault.open(site.folder, vault_password, new=True)
    with store.lock("apply"), reach(site.region) as fleet:
        planned = look(site, store, Preview(vault, site.secrets), fleet, scope_of(limit, service, purge))
        plan = planned.plan
        if wanted and plan.digest != wanted.digest:
            raise StalePlanError(
                "the saved plan is stale; nothing was changed",
                where=str(planfile),
                why="the region or the nodes have changed since it was made",
                fix="make it anew with scs-deploy plan --out and review it",
            )
        refuse_certificates(planned)
        print_plan(common.out, plan, diffs=not planfile)
        if plan.empty:
            nothing_to_do(site, store, vault, planned)
        else:
            confirm(yes or bool(planfile), "Apply this plan?")
            carry_out(site, store, vault, fleet, planned)
        if plan.unknown:
            raise unreachable_error(plan.unknown)


def _write(out: Path, text: str) -> None:
    """For its owner only: diffs show how a region is built. Written in place, since it may be a pipe or /dev/stdout."""
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        why, fix = error.strerror or str(error), "check the disk and who may write"
        raise DeployError("the plan cannot be saved", where=str(out), why=why, fix=fix) from error


def _read(planfile: Path) -> Saved:
    try:
        text = planfile.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        fix = "give a file that scs-deploy plan --out wrote"
        raise InputError(
            "the plan file cannot be read", where=str(planfile), why=why or "unreadable", fix=fix
        ) from error
    return read_saved(text, str(planfile))


def destroy(
    region: RegionOption = None, yes: YesOption = False, purge: PurgeOption = False, vault_password: VaultOption = None
) -> None:
    """Stop and remove everything that was deployed on the nodes; data stays unless --purge.

    Example:  scs-deploy destroy -r box --purge
    """
    site = common.site(region)
    store, vault = Store.of(site.region), Vault.open(site.folder, vault_password, new=True)
    with store.lock("destroy"), reach(site.region) as fleet:
        planned = plan_removal(site, store, fleet, purge)
        plan = planned.plan
        print_plan(common.out, plan, diffs=False)
        if not plan.empty:
            confirm(yes, f"Remove all this from {len(site.nodes)} nodes{', WITH ITS DATA' if purge else ''}?")
            carry_out(site, store, vault, fleet, planned)
        if plan.unknown:
            raise unreachable_error(plan.unknown)


def confirm(yes: bool, question: str) -> None:
    """Ask, unless ``yes``; a no ends the program with 1. Raises ``UsageError`` without a terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on", fix="add --yes, or apply a plan that was saved and reviewed")
    if not typer.confirm(question):
        raise typer.Exit(1)


def carry_out(site: Site, store: Store, vault: Vault, fleet: Fleet, planned: Planned) -> None:
    """Apply a plan and show how it goes; raises ``LockedError`` or ``DeployError`` when not every step was done."""
    ready = settle(site, store, vault, planned)
    if planned.preview and planned.preview.missing:
        names = ", ".join(planned.preview.missing)
        common.err.print(f"generated {len(planned.preview.missing)} secrets into {vault.file.path}: {names}")
    with ApplyProgress(common.out, ready.planned.plan) as progress, store.events(progress) as log:
        report = apply(site, store, fleet, ready, log)
    _print_report(report, log.path)
    if report.locked:
        raise LockedError(
            f"{len(report.locked)} node{'s are' if len(report.locked) > 1 else ' is'} held by another run",
            where=", ".join(report.locked),
            fix="wait until it has ended, then run scs-deploy apply again",
        )
    if not report.ok:
        count = len(report.of("failed"))
        raise DeployError(
            f"{count} step{'s' if count != 1 else ''} failed, {len(report.of('blocked'))} blocked",
            fix="repair the cause above and run scs-deploy apply again: it goes on where this one stopped",
        )


def _print_report(report: Report, events: Path) -> None:
    for result in report.of("failed"):
        _print_failure(result, report)
    ok, blocked = len(report.of("ok")), len(report.of("blocked"))
    text = f"{ok} done, {len(report.of('failed'))} failed, {blocked} blocked in {common.duration(report.seconds)}"
    common.out.print(f"[bold]{text}[/bold]; events: {events}")


def _print_failure(result: StepReport, report: Report) -> None:
    error: dict[str, Any] = dict(result.error)
    common.err.print(f"\n[red]failed[/red]: {escape(title(result.step))}")
    for change in () if result.step.refused else result.step.changes[:10]:
        common.err.print(f"    differed: {escape(change.what)}: {escape(change.how)}")
    for key in ("what", "why"):
        if error.get(key):
            common.err.print(f"    {key}: {escape(str(error[key]))}")
    for line in error.get("log") or ():
        common.err.print(f"    [dim]| {escape(str(line))}[/dim]")
    blocked = [title(other.step) for other in report.of("blocked") if result.step.id in other.by]
    if blocked:
        common.err.print(f"    blocks: {escape(', '.join(blocked))}")
    if error.get("fix"):
        common.err.print(f"    fix: {escape(str(error['fix']))}")
