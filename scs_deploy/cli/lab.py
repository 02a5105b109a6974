"""``scs-deploy lab``: nodes of a region as containers on this machine."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.cli.common import err
from scs_deploy.errors import UsageError
from scs_deploy.lab import Lab, LabSpec
from scs_deploy.lab.resolve import with_names
from scs_deploy.machine.paths import inventories_search, roles_search
from scs_deploy.region.load import find_region, load_region

app = typer.Typer(
    name="lab",
    help="Make the nodes of a region out of containers on this machine, and take them down again.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
EXAMPLES = "[bold]Examples[/bold]\n\n"

Region = Annotated[
    str | None, typer.Option("--region", "-r", envvar="SCS_DEPLOY_REGION", help="Name or folder of the region")
]
Node = Annotated[str, typer.Argument(help="Name of the node")]


def _lab(region: str | None) -> Lab:
    folder = find_region(region, inventories_search())
    return Lab(LabSpec.from_region(load_region(folder, load_catalogue(roles_search()))))


def _progress(text: str) -> None:
    err.print(escape(text))


@app.command(epilog=f"{EXAMPLES}scs-deploy lab up -r box\n\nscs-deploy lab up -r box --private")
def up(
    region: Region = None,
    private: Annotated[
        bool, typer.Option("--private", help="Keep the lab's networks in a network namespace of their own")
    ] = False,
) -> None:
    """Make the lab, or repair it: what is there and works stays as it is."""
    lab = _lab(region)
    lab.up(_progress, private=private)
    _print_status(lab)


@app.command(epilog=f"{EXAMPLES}scs-deploy lab down -r box")
def down(region: Region = None) -> None:
    """Remove nodes, bridges, disks and files of the lab, and look whether anything remains."""
    folder = find_region(region, inventories_search())
    (Lab.recorded(folder) or _lab(region)).down()
    _progress("nothing of the lab remains")


@app.command(epilog=f"{EXAMPLES}scs-deploy lab status\n\nscs-deploy lab status --json")
def status(
    region: Region = None, as_json: Annotated[bool, typer.Option("--json", help="Machine-readable")] = False
) -> None:
    """Say which nodes run and where they are reached; exit code 1 when one does not run."""
    lab = _lab(region)
    if as_json:
        nodes = [
            {"name": n.name, "state": n.state, "address": n.address, "container": n.container} for n in lab.status()
        ]
        place = str(lab.namespace) if lab.namespace else None
        typer.echo(json.dumps({"region": lab.spec.name, "id": lab.names.id, "namespace": place, "nodes": nodes}))
    else:
        _print_status(lab)
    raise typer.Exit(0 if all(node.state == "running" for node in lab.status()) else 1)


@app.command(
    epilog=f"{EXAMPLES}scs-deploy lab ssh n1\n\nscs-deploy lab ssh n1 -- podman ps",
    context_settings={"allow_interspersed_args": False},
)
def ssh(
    node: Node, command: Annotated[list[str] | None, typer.Argument(help="Command; a shell without one")] = None,
    region: Region = None,
) -> None:  # fmt: skip
    """Open a shell on a node, or run a command there as root."""
    words = command or []
    raise typer.Exit(_up(_lab(region)).ssh(node, words[1:] if words[:1] == ["--"] else words))


@app.command(epilog=f"{EXAMPLES}scs-deploy lab reset n1")
def reset(node: Node, region: Region = None) -> None:
    """Make a node anew: its containers, images and data are lost, its addresses and host key stay."""
    _lab(region).reset(node, _progress)


@app.command(epilog=f"{EXAMPLES}scs-deploy lab reboot n1")
def reboot(node: Node, region: Region = None) -> None:
    """Reboot a node as ``systemctl reboot`` does, and wait until it is back."""
    _up(_lab(region)).reboot(node)


@app.command(
    name="exec",
    epilog=f"{EXAMPLES}scs-deploy lab exec -- curl --cacert ca.pem https://api.box.test:5000/v3",
    context_settings={"allow_interspersed_args": False},
)
def execute(
    command: Annotated[list[str], typer.Argument(help="Command and its arguments")], region: Region = None
) -> None:
    """Run a command of this machine where the lab's networks are and the region's names are known."""
    folder = find_region(region, inventories_search())
    loaded = load_region(folder, load_catalogue(roles_search()))
    lab = _up(Lab(LabSpec.from_region(loaded)))
    raise typer.Exit(lab.execute(with_names(loaded, lab.files.folder, command)))


def _up(lab: Lab) -> Lab:
    if not lab.files.folder.is_dir():
        raise UsageError("the lab is not up", where=lab.spec.name, fix="scs-deploy lab up")
    return lab


def _print_status(lab: Lab) -> None:
    for node in lab.status():
        typer.echo(f"{node.name:<20} {node.state:<8} {node.address:<16} {node.container}")
