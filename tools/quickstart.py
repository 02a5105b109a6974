"""The steps of ./quickstart once Python is there, from secrets to a server that answers; each with its time."""

# ruff: noqa: E402 - the imports below take a second, in which Ctrl-C shall not show where it struck
from __future__ import annotations

import os
import signal
import sys

AGAIN = "run ./quickstart again: it goes on where this one stopped"


def _interrupted(*_: object) -> None:
    sys.stderr.write(f"error: interrupted\n    fix: {AGAIN}\n")
    os._exit(130)


signal.signal(signal.SIGINT, _interrupted)

from scs_deploy.machine import environment

environment.settle()

import contextlib
import http.client
import time
from collections.abc import Callable
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from scs_deploy.cli import change, cloud, common, credentials, image, lab, secrets, smoke
from scs_deploy.cli.main import fail
from scs_deploy.errors import DeployError, Interrupted
from scs_deploy.lab import Lab, LabSpec
from scs_deploy.operations.reach import reach as reach_nodes
from scs_deploy.operations.site import Site, find_site
from scs_deploy.operations.store import Store
from scs_deploy.smoke import reach
from scs_deploy.smoke.run import kept

ROOT = Path(__file__).resolve().parent.parent

DASHBOARD = "horizon"
"""Name of its port."""

Step = tuple[str, Callable[[], None]]


def steps(region: str) -> list[Step]:
    """What ``scs-deploy`` would be told one by one."""
    to_keystone = [
        ("scs-deploy secrets init", lambda: secrets.init(region)),
        ("scs-deploy image build", lambda: image.build_command(region=region)),
        ("scs-deploy lab up", lambda: lab.up(region)),
        ("scs-deploy apply", lambda: change.apply_command(region=region, yes=True)),
        ("scs-deploy credentials", lambda: credentials.credentials_command(region)),
        ("scs-deploy prove", lambda: credentials.prove_command(region)),
    ]
    if not has_servers(find_site(region)):
        return to_keystone
    return [
        *to_keystone,
        ("scs-deploy cloud setup", lambda: cloud.setup(region=region, yes=True)),
        ("scs-deploy smoke --keep", lambda: server(region)),
    ]


def has_servers(site: Site) -> bool:
    found = site.region.services.get("nova")
    return bool(found and found.enabled)


def server(region: str) -> None:
    """A server that answers: the one that is there, or what a whole smoke test leaves."""
    site = find_site(region)
    address = kept(Store.of(site.region).state).get("address", "")
    if address and answers(site, address):
        common.out.print(f"the server of an earlier run answers: http://{address}/")
    else:
        smoke.smoke(region=region, keep=True)


def answers(site: Site, address: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException), reach_nodes(site.region):
        return bool(reach.get(address))
    return False


def run(region: str) -> None:
    """Do the steps in order; the first that fails ends it."""
    times = [("machine and Python", time.time() - float(os.environ.get("SCS_STARTED", time.time())))]
    for name, step in steps(region):
        common.out.print(f"\n[bold]{name}[/bold]")
        began = time.monotonic()
        step()
        times.append((name, time.monotonic() - began))
    _print_end(find_site(region), times)


def _print_end(site: Site, times: list[tuple[str, float]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, seconds in [*times, ("in all", sum(seconds for _, seconds in times))]:
        table.add_row(name, common.duration(seconds))
    name, clouds = site.region.name, site.folder / "clouds.yaml"
    node = next(iter(site.nodes))
    private = Lab(LabSpec.from_region(site.region)).namespace is not None
    where = ", here in a network namespace, as its networks are taken on this machine" if private else ""
    common.out.print(f"\n[bold green]Region {escape(name)} is up.[/bold green]\n")
    common.out.print(table)
    root = "\nThe lab belongs to root, so first: sudo -s\n" if os.environ.get("SUDO_USER") else ""
    common.out.print(
        f"""{root}{_for_people(site)}
Log in as admin (the password is in clouds.yaml):
    export SCS_DEPLOY_REGION={_path(site.folder)} OS_CLIENT_CONFIG_FILE={_path(clouds)}
    {_program()} lab exec -- openstack --os-cloud {name} catalog list
  lab exec runs a program of this machine where the region's names are known{where};
  no openstack client yet? pip install python-openstackclient, in a venv of your own.

Next:
    {_program()} status
    {_program()} plan          after a change of {_path(site.folder / "region.yml")}; then: apply
    {_program()} lab ssh {node}
    {_program()} lab down      removes the lab and its data; images, secrets and packages stay"""
    )


def _for_people(site: Site) -> str:
    """The server and the dashboard, where they are."""
    lines = []
    if address := kept(Store.of(site.region).state).get("address"):
        lines.append(f"A server runs at http://{address}/ (scs-deploy smoke --clean removes it).")
    if DASHBOARD in site.topology.exposed:
        url = site.topology.endpoint(DASHBOARD, "public").url
        lines.append(f"The dashboard is at {url}/: user admin, domain Default, the password of clouds.yaml.")
    return "".join(f"\n{line}" for line in lines) + "\n" * bool(lines)


def _path(path: Path) -> str:
    return escape(str(path))


def _program() -> str:
    """How to call the program from here, as short as possible."""
    program = ROOT / ".venv/bin/scs-deploy"
    shown = program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program
    return _path(shown)


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run(sys.argv[1])
    except DeployError as error:
        fail(error)
    except (KeyboardInterrupt, typer.Abort):
        fail(Interrupted("interrupted", fix=AGAIN))
    except typer.Exit as error:
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
