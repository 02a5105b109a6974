"""``scs-deploy smoke``: the cloud is used as its users do."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.status import Status

from scs_deploy.catalogue.release import load_release
from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, RegionOption, VaultOption
from scs_deploy.cloud import credentials
from scs_deploy.cloud.access import Access
from scs_deploy.cloud.credentials import OWN
from scs_deploy.errors import DeployError
from scs_deploy.images import guest
from scs_deploy.operations.reach import reach
from scs_deploy.operations.store import Store
from scs_deploy.region.region import Region
from scs_deploy.secrets import Vault
from scs_deploy.smoke import report as reports
from scs_deploy.smoke import run as runs
from scs_deploy.smoke.steps import SmokeResult

_STYLES = {"passed": "green", "failed": "red", "blocked": "yellow", "not deployed": "dim"}


def register(app: typer.Typer) -> None:
    app.command()(smoke)


def smoke(
    region: RegionOption = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only this step, with what it needs; may be repeated.", show_default=False),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave one server running and print its address.")] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Test nothing; remove what earlier runs left, with --keep or killed.")
    ] = False,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the outcome as JUnit XML.")] = None,
    as_json: JsonOption = False,
    vault_password: VaultOption = None,
) -> None:
    """Use the cloud as a plain user does, from outside the nodes: servers, networks, volumes, objects, load balancers.

    A project and a user are made for it and removed again. A service that is not deployed is told and is no failure.

    Examples:  scs-deploy smoke    scs-deploy smoke --only tcp --keep    scs-deploy smoke --junit smoke.xml
    """
    site = common.site(region)
    store = Store.of(site.region)
    login = credentials.login(site.region, site.catalogue, Vault.open(site.folder, vault_password), OWN)
    with (
        reach(site.region),
        Access(site.region, login, careless=True) as access,
        store.lock("smoke"),
    ):
        if clean:
            _clean(site.region, store, access)
            return
        with _Lines(quiet=as_json) as lines:
            report = runs.run(
                site.region,
                access,
                store.state,
                lambda: _guest(site.region, lines),
                runs.SmokeWatcher(lines.say, lines.ended),
                only=only or (),
                keep=keep,
            )
    name = site.region.name
    if junit:
        junit.write_text(reports.junit(name, report.results, report.seconds), encoding="utf-8")
    if as_json:
        common.print_json(reports.as_json(name, report.results, report.seconds, report.address))
    else:
        common.out.print(f"[bold]{reports.summary(report.results, report.seconds)}[/bold]")
        if report.address:
            common.out.print(
                f"A server is left running: http://{report.address}/  (scs-deploy smoke --clean removes it)"
            )
    if not report.green:
        failed = [result.name for result in report.results if result.status in ("failed", "blocked")]
        raise DeployError("the cloud does not work for its users", where=name, why=f"not passed: {', '.join(failed)}")


class _Lines:
    """One line a result; on a terminal also what is being done, and for how long."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._status = Status("", console=common.err)
        self._began = time.monotonic()

    def __enter__(self) -> _Lines:
        if common.err.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def say(self, text: str) -> None:
        self._status.update(f"{escape(text)}")

    def ended(self, result: SmokeResult) -> None:
        console = common.err if self._quiet else common.out
        style = _STYLES[result.status]
        seconds = common.duration(result.seconds) if result.seconds else ""
        elapsed = common.duration(time.monotonic() - self._began)
        detail = f"  [dim]{escape(result.detail)}[/dim]" if result.detail else ""
        console.print(
            f"[dim]{elapsed:>12}[/dim]  [{style}]{result.status:<12}[/{style}] {escape(result.title):<36} {seconds:>12}{detail}"
        )
        if result.error:
            console.print(f"[red]{escape(str(result.error))}[/red]")


def _guest(region: Region, lines: _Lines) -> Path:
    release = load_release(region.release)
    return guest.ensure(release, progress=lambda event: lines.say(f"building the guest's image: {event.text}")).path


def _clean(region: Region, store: Store, access: Access) -> None:
    with common.err.status("looking for what smoke tests left") as status:
        removed = runs.clean(region, access, access.admin(), status.update, kept=True)
    (store.state / runs.KEPT_FILE).unlink(missing_ok=True)
    common.out.print(f"removed: {', '.join(removed)}" if removed else "nothing was left")
