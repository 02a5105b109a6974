"""A whole smoke test: a project is made, the steps run in it, and nothing stays, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scs_deploy.cloud.access import Access, CloudApi, explained
from scs_deploy.errors import DeployError
from scs_deploy.machine.files import write_atomic
from scs_deploy.region.region import Region
from scs_deploy.smoke import balancer, compute, network, objects, tenant, volume
from scs_deploy.smoke.bench import Bench, SmokeServer
from scs_deploy.smoke.cleanup import Cleaner
from scs_deploy.smoke.report import green
from scs_deploy.smoke.steps import SmokeResult, SmokeStep, in_the_way, run_step, select
from scs_deploy.smoke.tenant import Tenant

KEPT_FILE = "smoke-kept.json"
"""In the region's state folder: what --keep left, for whoever wants to reach it."""


def _login(bench: Bench) -> str:
    kinds = sorted(bench.cloud.catalogue)
    return f"{bench.tenant.name}, {len(kinds)} APIs"


STEPS: tuple[SmokeStep, ...] = (
    SmokeStep("login", "log in as a plain user", _login),
    *(*network.STEPS, *compute.STEPS, *network.REACH),
    *(*compute.SECOND, *volume.STEPS, *compute.LATER),
    *(*balancer.STEPS, *objects.STEPS),
)


@dataclass(slots=True)
class SmokeReport:
    results: list[SmokeResult] = field(default_factory=list)
    seconds: float = 0.0
    address: str = ""
    """Of the server that --keep left running."""

    @property
    def green(self) -> bool:
        return green(self.results)


@dataclass(frozen=True, slots=True)
class SmokeWatcher:
    """Who watches: ``say`` is told what is going on, ``ended`` of each result."""

    say: Callable[[str], None]
    ended: Callable[[SmokeResult], None]


def run(
    region: Region,
    access: Access,
    state: Path,
    guest: Callable[[], Path],
    listener: SmokeWatcher,
    *,
    only: Collection[str] = (),
    keep: bool = False,
) -> SmokeReport:
    """Run the chosen steps. Raises ``DeployError`` when the test cannot even begin."""
    chosen = select(STEPS, (*only, *(("tcp",) if keep and only else ())))
    report, began = SmokeReport(), time.monotonic()
    admin = access.admin()
    with explained("the smoke test cannot begin", access.login.url):
        for name in clean(region, access, admin, listener.say, kept=keep):
            listener.say(f"removed what {name} had left")
        listener.say("making a project and its user")
        own = tenant.ensure(admin, tenant.new_name())
    bench = Bench(region, access.user(own.name, own.password, own.name), admin, own, guest, listener.say)
    kept = False
    try:
        _run_steps(chosen, bench, report, listener)
        kept = keep and report.green and bool(bench.made.get("server"))
    finally:
        with uninterrupted(listener.say):
            result = _end(bench, state, kept)
            report.results.append(result)
            listener.ended(result)
        report.seconds = time.monotonic() - began
    report.address = bench.server().floating if kept and result.status == "passed" else ""
    return report


def clean(region: Region, access: Access, admin: CloudApi, say: Callable[[str], None], *, kept: bool) -> list[str]:
    """Remove what runs that were killed left; with ``kept`` also what --keep left. Returns the names of the projects."""
    removed = []
    for project in list(tenant.projects(admin)):
        if kept or not tenant.is_kept(project):
            say(f"removing what {project.name} left")
            _remove(region, access, admin, tenant.ensure(admin, project.name), say)
            removed.append(project.name)
    for user in list(tenant.orphans(admin)):
        admin.api.identity.delete_user(user)
    return removed


def kept(state: Path) -> dict[str, str]:
    """What the last --keep left; empty when nothing."""
    try:
        found = json.loads((state / KEPT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _run_steps(chosen: Sequence[SmokeStep], bench: Bench, report: SmokeReport, listener: SmokeWatcher) -> None:
    for step in chosen:
        result = in_the_way(step, report.results, lambda kind: bool(bench.cloud.endpoint(kind)))
        if result is None:
            listener.say(step.title)
            result = run_step(step, bench)
        report.results.append(result)
        listener.ended(result)


def _end(bench: Bench, state: Path, keep: bool) -> SmokeResult:
    began, title = time.monotonic(), "cleanup"
    try:
        with explained("the cleanup was refused"):
            if keep:
                detail = _keep(bench, state)
            else:
                _remove_tenant(bench.region, bench.cloud, bench.admin, bench.tenant, bench.say)
                detail = "nothing is left"
    except DeployError as error:
        return SmokeResult("cleanup", title, "failed", time.monotonic() - began, error=error)
    return SmokeResult("cleanup", title, "passed", time.monotonic() - began, detail)


def _keep(bench: Bench, state: Path) -> str:
    """Leave the first server with what it stands on."""
    server: SmokeServer = bench.server()
    tenant.mark_kept(bench.admin, bench.tenant)
    stays = [server.id, server.port, *(str(bench.made[what]) for what in STAYS if what in bench.made)]
    Cleaner(bench.cloud, bench.region.patience, bench.say, stays).run()
    what = {
        "project": bench.tenant.name,
        "server": server.name,
        "address": server.floating,
        "url": f"http://{server.floating}/",
    }
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(state / KEPT_FILE, json.dumps(what))
    return f"{server.name} stays at {server.floating}"


STAYS = ("image", "network", "router", "group", "key", "floating")


def _remove(region: Region, access: Access, admin: CloudApi, left: Tenant, say: Callable[[str], None]) -> None:
    _remove_tenant(region, access.user(left.name, left.password, left.name), admin, left, say)


def _remove_tenant(region: Region, cloud: CloudApi, admin: CloudApi, own: Tenant, say: Callable[[str], None]) -> None:
    Cleaner(cloud, region.patience, say).run()
    tenant.remove(admin, own)


@contextlib.contextmanager
def uninterrupted(say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C does not stop the cleanup: it would only be the next run's work."""

    def told(*_: object) -> None:
        say("still cleaning up")

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, told) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
