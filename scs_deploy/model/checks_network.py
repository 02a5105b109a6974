"""Cross-checks of networks and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from scs_deploy.catalogue.load import Catalogue
from scs_deploy.errors import Finding
from scs_deploy.model.network import Address, NetworkSection
from scs_deploy.model.rack import NodeSection
from scs_deploy.model.region import FALLBACK_TO_API, RegionSection
from scs_deploy.model.resolve import GENEVE_OVERHEAD, carried_mtu
from scs_deploy.model.settings import is_enabled
from scs_deploy.model.source import PathTuple, Source

IPV6_MINIMUM_MTU = 1280
"""Bytes; RFC 8200."""

_SINGLE = ("vip", "vip6", "gateway", "gateway6")


def check_networks(source: Source, region: RegionSection, catalogue: Catalogue) -> Iterator[Finding]:
    networks: dict[str, NetworkSection] = {name: one for name, one in region.networks.declared().items()}  # noqa: C416 - plain text as keys
    for name, network in networks.items():
        yield from _network(source, ("networks", name), network, needs_vip=name in ("api", "public"))
    yield from _overlaps(source, networks)
    yield from _tunnel(source, region)
    yield from _node_addresses(source, region, networks)
    yield from _nics(source, region, networks)
    yield from _listeners(source, region, catalogue, networks)


def _cidr(network: NetworkSection, version: int) -> Any:
    return network.cidr if version == 4 else network.cidr6


def _cidr_key(version: int) -> str:
    return "cidr" if version == 4 else "cidr6"


def _network(source: Source, at: PathTuple, network: NetworkSection, *, needs_vip: bool) -> Iterator[Finding]:
    vip = "vip" if network.cidr else "vip6"
    if needs_vip and getattr(network, vip) is None:
        fix = f"add {vip}: an address of this network that no node has"
        yield source.finding(
            at, f"the key {vip} is missing", why="clients reach the services of this network there", fix=fix
        )
    single = {key: getattr(network, key) for key in _SINGLE if getattr(network, key) is not None}
    for key, address in single.items():
        yield from _inside(source, (*at, key), address, at, network)
        yield from _in_range(source, (*at, key), address, at, network, key.rstrip("6"))
    for (first, one), (second, other) in combinations(single.items(), 2):
        if one == other:
            why = f"{first} is at {source.line_of((*at, first))}"
            yield source.finding(
                (*at, second), f"{first} and {second} are the same address", why=why, fix="give two addresses"
            )
    for index, part in enumerate(network.ranges):
        cidr = _cidr(network, part.start.version)
        path = (*at, "ranges", index)
        if cidr is None or part.start not in cidr or part.end not in cidr:
            yield _outside(source, path, str(part), at, network, part.start.version)
    for (first_index, part), (second_index, later) in combinations(enumerate(network.ranges), 2):
        if part.start in later or later.start in part:
            why = f"the other is {source.line_of((*at, 'ranges', first_index))}"
            yield source.finding(
                (*at, "ranges", second_index), f"{later} overlaps {part}", why=why, fix="correct one of them"
            )
    if network.cidr6 and network.mtu < IPV6_MINIMUM_MTU:
        why = f"IPv6 needs {IPV6_MINIMUM_MTU} bytes, and cidr6 is given at {source.line_of((*at, 'cidr6'))}"
        yield source.finding(
            (*at, "mtu"), f"the MTU {network.mtu} is too small for IPv6", why=why, fix="raise mtu, or remove cidr6"
        )


def _outside(
    source: Source, path: PathTuple, what: str, at: PathTuple, network: NetworkSection, version: int
) -> Finding:
    key = _cidr_key(version)
    cidr = _cidr(network, version)
    why = f"{source.line_of((*at, key))} is {cidr}" if cidr else f"{source.line_of(at)} has no {key}"
    return source.finding(path, f"{what} lies outside the network {at[-1]}", why=why, fix="correct it, or the network")


def _inside(
    source: Source, path: PathTuple, address: Address, at: PathTuple, network: NetworkSection
) -> Iterator[Finding]:
    cidr = _cidr(network, address.version)
    if cidr is None or address not in cidr:
        yield _outside(source, path, str(address), at, network, address.version)
    elif _is_reserved(address, cidr):
        why = f"the network is {source.line_of((*at, _cidr_key(address.version)))}"
        yield source.finding(
            path, f"{address} is the network's own or broadcast address", why=why, fix="give another address"
        )


def _is_reserved(address: Address, cidr: Any) -> bool:
    if address.version == 6 or cidr.prefixlen >= 31:
        return False
    return address in (cidr.network_address, cidr.broadcast_address)


def _in_range(
    source: Source, path: PathTuple, address: Address, at: PathTuple, network: NetworkSection, what: str
) -> Iterator[Finding]:
    for index, part in enumerate(network.ranges):
        if address in part:
            why = f"{source.line_of((*at, 'ranges', index))} hands out {part}, so something else could get it"
            yield source.finding(
                path,
                f"the {what} {address} lies inside an allocation range",
                why=why,
                fix="shrink the range, or move it",
            )


def _overlaps(source: Source, networks: dict[str, NetworkSection]) -> Iterator[Finding]:
    for (first, one), (second, other) in combinations(networks.items(), 2):
        for key in ("cidr", "cidr6"):
            mine, theirs = getattr(one, key), getattr(other, key)
            if mine and theirs and mine.overlaps(theirs):
                why = f"{source.line_of(('networks', first, key))} is {mine}"
                path = ("networks", second, key)
                yield source.finding(
                    path,
                    f"{theirs} overlaps the network {first}",
                    why=why,
                    fix="give disjoint networks, or leave one out",
                )
        if one.vlan is not None and one.vlan == other.vlan:
            why = f"{first} is at {source.line_of(('networks', first, 'vlan'))}"
            what = f"the networks {first} and {second} share the VLAN {one.vlan}"
            yield source.finding(
                ("networks", second, "vlan"), what, why=why, fix="give each network its own VLAN", severity="warning"
            )


def _tunnel(source: Source, region: RegionSection) -> Iterator[Finding]:
    name = "tunnel" if region.networks.tunnel else "api"
    network: NetworkSection = getattr(region.networks, name)
    overhead = GENEVE_OVERHEAD[4 if network.cidr else 6]
    path = ("networks", name, "mtu")
    wanted = region.guest_mtu or IPV6_MINIMUM_MTU
    if carried_mtu(region) < wanted:
        why = f"{overhead} bytes of it are headers of the tunnel, {carried_mtu(region)} remain"
        why += (
            f"; {source.line_of(('guest_mtu',))} wants {wanted}"
            if region.guest_mtu
            else f"; servers need {wanted} at least"
        )
        default = "" if "mtu" in network.model_fields_set else "default "
        what = f"the {default}MTU {network.mtu} of the network {name} cannot carry the tunnel"
        yield source.finding(
            path,
            what,
            why=why,
            fix=f"set mtu to {wanted + overhead} or more" + (", or lower guest_mtu" if region.guest_mtu else ""),
        )


def _nodes(region: RegionSection) -> Iterator[tuple[PathTuple, NodeSection]]:
    for number, rack in enumerate(region.racks):
        for index, node in enumerate(rack.nodes):
            yield ("racks", number, "nodes", index), node


def _node_addresses(source: Source, region: RegionSection, networks: dict[str, NetworkSection]) -> Iterator[Finding]:
    seen: dict[Address, PathTuple] = {}
    for name, network in networks.items():
        seen.update(
            {getattr(network, key): ("networks", name, key) for key in _SINGLE if getattr(network, key) is not None}
        )
    outside: dict[tuple[str, int], list[PathTuple]] = {}
    inside: set[tuple[str, int]] = set()
    for at, node in _nodes(region):
        if "api" not in node.addresses:
            what = f"the key api is missing: node {node.name} has no address there"
            yield source.finding((*at, "addresses"), what, fix="add api: an address of the api network", key=True)
        for name, addresses in node.addresses.items():
            path = (*at, "addresses", name)
            if name not in networks:
                falls = " (it falls back to api)" if name in FALLBACK_TO_API else ""
                why = f"only these are declared: {', '.join(networks)}, see {source.line_of(('networks',))}"
                yield source.finding(
                    path,
                    f"the network {name} is not declared{falls}",
                    why=why,
                    fix="remove the address, or declare it",
                    key=True,
                )
                continue
            network, where = networks[name], ("networks", name)
            for address in addresses:
                if (first := seen.setdefault(address, path)) != path:
                    why = f"it is already at {source.line_of(first)}"
                    yield source.finding(
                        path, f"the address {address} is given twice", why=why, fix="correct one of them"
                    )
                cidr = _cidr(network, address.version)
                if cidr is None or address not in cidr:
                    outside.setdefault((name, address.version), []).append(path)
                    continue
                inside.add((name, address.version))
                yield from _inside(source, path, address, where, network)
                yield from _in_range(source, path, address, where, network, "address")
    for (network_name, version), paths in outside.items():
        network, where_network = networks[network_name], ("networks", network_name)
        if len(paths) > 1 and (network_name, version) not in inside and (cidr := _cidr(network, version)):
            why = f"neither {source.line_of(paths[0])} nor the other {len(paths) - 1}"
            what = f"no node's address lies in the network {network_name}, {cidr}"
            yield source.finding((*where_network, _cidr_key(version)), what, why=why, fix="correct the network")
            continue
        for path in paths:
            yield _outside(source, path, "the address", where_network, network, version)


def _nics(source: Source, region: RegionSection, networks: dict[str, NetworkSection]) -> Iterator[Finding]:
    levels: list[tuple[PathTuple, Any]] = [((), region)]
    levels += [(("racks", number), rack) for number, rack in enumerate(region.racks)]
    for at, level in (*levels, *_nodes(region)):
        for nic_name, nic in level.nics.items():
            for index, name in enumerate(nic.networks):
                if name not in networks:
                    path = (*at, "nics", nic_name, "networks", index)
                    why = f"only these are declared: {', '.join(networks)}, see {source.line_of(('networks',))}"
                    yield source.finding(
                        path, f"the network {name} is not declared", why=why, fix="remove it, or declare it"
                    )


def _listeners(
    source: Source, region: RegionSection, catalogue: Catalogue, networks: dict[str, NetworkSection]
) -> Iterator[Finding]:
    """Whoever listens on a network needs an address there."""
    wanted: dict[str, dict[str, str]] = {}
    for name, service in catalogue.services.items():
        if not is_enabled(region, catalogue, name):
            continue
        for component_name, component in service.components.items():
            for port in component.ports:
                if port.network in networks and port.network != "api" and not component.when:
                    wanted.setdefault(component.group, {}).setdefault(port.network, component_name)
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
