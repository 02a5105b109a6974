"""Cross-checks of the addresses of nodes: given once, inside their network, and there where something listens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding
from scs_deploy.region.checks_network import SINGLE, cidr_key, cidr_of, in_range, inside, outside
from scs_deploy.region.network import Address, NetworkSection
from scs_deploy.region.rack import NodeSection
from scs_deploy.region.region import FALLBACK_TO_API, RegionSection
from scs_deploy.region.settings import is_enabled

Networks = dict[str, NetworkSection]


def check_addresses(source: Source, region: RegionSection, catalogue: Catalogue) -> Iterator[Finding]:
    networks: Networks = {name: one for name, one in region.networks.declared().items()}  # noqa: C416 - plain text as keys
    yield from _declared(source, region, networks)
    yield from _twice(source, region, networks)
    yield from _places(source, region, networks)
    yield from _nics(source, region, networks)
    yield from _listeners(source, region, catalogue, networks)


def _nodes(region: RegionSection) -> Iterator[tuple[PathTuple, NodeSection]]:
    for number, rack in enumerate(region.racks):
        for index, node in enumerate(rack.nodes):
            yield ("racks", number, "nodes", index), node


def _given(region: RegionSection, networks: Networks) -> Iterator[tuple[PathTuple, str, Address]]:
    """Every address of a node on a declared network."""
    for at, node in _nodes(region):
        for name, addresses in node.addresses.items():
            if name in networks:
                for address in addresses:
                    yield (*at, "addresses", name), name, address


def _declared(source: Source, region: RegionSection, networks: Networks) -> Iterator[Finding]:
    for at, node in _nodes(region):
        if "api" not in node.addresses:
            what = f"the key api is missing: node {node.name} has no address there"
            yield source.finding((*at, "addresses"), what, fix="add api: an address of the api network", key=True)
        for name in node.addresses:
            if name not in networks:
                falls = " (it falls back to api)" if name in FALLBACK_TO_API else ""
                yield _undeclared(
                    source, (*at, "addresses", name), f"the network {name} is not declared{falls}", networks
                )


def _undeclared(source: Source, path: PathTuple, what: str, networks: Networks) -> Finding:
    why = f"only these are declared: {', '.join(networks)}, see {source.line_of(('networks',))}"
    return source.finding(path, what, why=why, fix="remove it, or declare the network", key=True)


def _twice(source: Source, region: RegionSection, networks: Networks) -> Iterator[Finding]:
    seen: dict[Address, PathTuple] = {
        getattr(network, key): ("networks", name, key)
        for name, network in networks.items()
        for key in SINGLE
        if getattr(network, key) is not None
    }
    for path, _, address in _given(region, networks):
        if (first := seen.setdefault(address, path)) != path:
            why = f"it is already at {source.line_of(first)}"
            yield source.finding(path, f"the address {address} is given twice", why=why, fix="correct one of them")


def _places(source: Source, region: RegionSection, networks: Networks) -> Iterator[Finding]:
    """Where all addresses of a network are outside, the network is wrong, not the nodes."""
    strangers: dict[tuple[str, int], list[PathTuple]] = {}
    at_home: set[tuple[str, int]] = set()
    for path, name, address in _given(region, networks):
        network, where = networks[name], ("networks", name)
        cidr = cidr_of(network, address.version)
        if cidr is None or address not in cidr:
            strangers.setdefault((name, address.version), []).append(path)
            continue
        at_home.add((name, address.version))
        yield from inside(source, path, address, where, network)
        yield from in_range(source, path, address, where, network, "address")
    for (name, version), paths in strangers.items():
        network, where = networks[name], ("networks", name)
        cidr = cidr_of(network, version)
        if cidr and len(paths) > 1 and (name, version) not in at_home:
            why = f"neither {source.line_of(paths[0])} nor the other {len(paths) - 1}"
            what = f"no node's address lies in the network {name}, {cidr}"
            yield source.finding((*where, cidr_key(version)), what, why=why, fix="correct the network")
        else:
            yield from (outside(source, path, "the address", where, network, version) for path in paths)


def _nics(source: Source, region: RegionSection, networks: Networks) -> Iterator[Finding]:
    levels: list[tuple[PathTuple, Any]] = [((), region)]
    levels += [(("racks", number), rack) for number, rack in enumerate(region.racks)]
    for at, level in (*levels, *_nodes(region)):
        for nic_name, nic in level.nics.items():
            for index, name in enumerate(nic.networks):
                if name not in networks:
                    path = (*at, "nics", nic_name, "networks", index)
                    yield _undeclared(source, path, f"the network {name} is not declared", networks)


def _listeners(source: Source, region: RegionSection, catalogue: Catalogue, networks: Networks) -> Iterator[Finding]:
    """Whoever listens on a network needs an address there."""
    wanted: dict[str, dict[str, str]] = {}
    for name, service in catalogue.services.items():
        if not is_enabled(region, catalogue, name):
            continue
        for component_name, component in service.components.items():
            for port in component.ports:
                if port.network in networks and port.network != "api" and not component.when:
                    for group in component.groups:
                        wanted.setdefault(group, {}).setdefault(port.network, component_name)
    if not wanted:
        return
    for at, node in _nodes(region):
        for group in ("all", *dict.fromkeys(node.groups)):
            for name, component_name in wanted.get(group, {}).items():
                if name not in node.addresses and node.state != "absent":
                    what = f"the key {name} is missing: node {node.name} has no address there"
                    why = f"its group {group} carries {component_name}, which listens on the network {name}"
                    yield source.finding(
                        (*at, "addresses"), what, why=why, fix=f"add {name}: an address of that network", key=True
                    )
