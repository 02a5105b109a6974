"""Commands that read the region only: validate, show, schema."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.cli import common
from scs_deploy.cli.common import JsonOption, RegionOption
from scs_deploy.machine import paths
from scs_deploy.operations import certificates
from scs_deploy.operations.site import Site
from scs_deploy.region.placement import as_table
from scs_deploy.region.schema import region_schema
from scs_deploy.secrets import pki


def register(app: typer.Typer) -> None:
    app.command()(validate)
    app.command()(show)
    app.command()(schema)


def validate(region: RegionOption = None) -> None:
    """Check region.yml, the services and the placement; nothing is touched.

    Example:  scs-deploy validate -r half-rack
    """
    site = common.site(region)
    loaded = site.region
    for finding in (*loaded.warnings, *certificates.check_public(loaded, pki.utc_now())):
        common.err.print(f"[yellow]warning[/yellow]: {escape(str(finding))}")
    nodes = sum(node.state != "absent" for node in site.nodes.values())
    instances = len(site.placement.placed)
    common.out.print(
        f"{site.folder / 'region.yml'}: valid: {nodes} node{'s' if nodes != 1 else ''}, {instances} instances of components"
    )


def show(region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Show racks, networks, and which component runs where and why."""
    data = _described(common.site(region))
    if as_json:
        common.print_json(data)
        return
    common.out.print(
        f"[bold]{data['name']}[/bold]: release {data['release']}, engine {data['engine']}, domain {data['domain']}"
    )
    networks = Table("network", "CIDR", "MTU", "VIP", title="Networks", title_justify="left")
    for network in data["networks"]:
        networks.add_row(network["name"], "\n".join(network["cidrs"]), str(network["mtu"]), "\n".join(network["vips"]))
    common.out.print(networks)
    racks = Table("rack", "fire zone", "U", "node", "state", "groups", "addresses", title="Racks", title_justify="left")
    for node in data["nodes"]:
        addresses = "\n".join(f"{name} {address}" for name, address in node["addresses"].items())
        racks.add_row(
            node["rack"],
            node["fire_zone"],
            str(node["unit"] or ""),
            node["name"],
            node["state"],
            " ".join(node["groups"]),
            addresses,
        )
    common.out.print(racks)
    placement = Table("service", "component", "nodes", "why", title="Placement", title_justify="left")
    for row in data["placement"]:
        nodes = " ".join(row["nodes"]) if len(row["nodes"]) <= 12 else f"{len(row['nodes'])} nodes"
        placement.add_row(row["service"], row["component"], nodes, row["why"])
    common.out.print(placement)


def schema() -> None:
    """Print the JSON Schema of region.yml, service settings included.

    For editors: put `# yaml-language-server: $schema=region.schema.json` at the top of region.yml.
    """
    common.out.out(json.dumps(region_schema(load_catalogue(paths.roles_search())), indent=2))


def _described(site: Site) -> dict[str, Any]:
    region = site.region
    return {
        "name": region.name,
        "release": region.release,
        "engine": region.engine,
        "domain": region.domain,
        "networks": [
            {
                "name": network.name,
                "cidrs": [str(cidr) for cidr in (network.cidr, network.cidr6) if cidr],
                "mtu": network.mtu,
                "vips": [str(vip) for vip in (network.vip, network.vip6) if vip],
            }
            for network in region.networks.values()
        ],
        "nodes": [
            {
                "name": node.name,
                "rack": node.rack,
                "fire_zone": node.fire_zone or "",
                "unit": node.unit,
                "state": node.state,
                "groups": list(node.groups),
                "addresses": {name: str(address.v4 or address.v6) for name, address in node.addresses.items()},
            }
            for node in region.nodes
        ],
        "placement": as_table(site.placement),
    }
