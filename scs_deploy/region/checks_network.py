"""Cross-checks of networks: what lies inside which, and what their MTU carries."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from scs_deploy.documents.source import PathTuple, Source
from scs_deploy.errors import Finding
from scs_deploy.region.host import Nic
from scs_deploy.region.network import Address, NetworkSection
from scs_deploy.region.region import RegionSection
from scs_deploy.region.resolve import GENEVE_OVERHEAD, carried_mtu, on_top

IPV6_MINIMUM_MTU = 1280
"""Bytes; RFC 8200."""

SINGLE = ("vip", "vip6", "gateway", "gateway6")


def check_networks(source: Source, region: RegionSection) -> Iterator[Finding]:
    networks: dict[str, NetworkSection] = {name: one for name, one in region.networks.declared().items()}  # noqa: C416 - plain text as keys
    for name, network in networks.items():
        yield from _network(source, ("networks", name), network, needs_vip=name in ("api", "public"))
    yield from _overlaps(source, networks)
    yield from _tunnel(source, region)
    yield from _interfaces(source, region, networks)


def cidr_of(network: NetworkSection, version: int) -> Any:
    return network.cidr if version == 4 else network.cidr6


def cidr_key(version: int) -> str:
    return "cidr" if version == 4 else "cidr6"


def _network(source: Source, at: PathTuple, network: NetworkSection, *, needs_vip: bool) -> Iterator[Finding]:
    vip = "vip" if network.cidr else "vip6"
    if needs_vip and getattr(network, vip) is None:
        fix = f"add {vip}: an address of this network that no node has"
        yield source.finding(
            at, f"the key {vip} is missing", why="clients reach the services of this network there", fix=fix
        )
    single = {key: getattr(network, key) for key in SINGLE if getattr(network, key) is not None}
    for key, address in single.items():
        yield from inside(source, (*at, key), address, at, network)
        yield from in_range(source, (*at, key), address, at, network, key.rstrip("6"))
    for (first, one), (second, other) in combinations(single.items(), 2):
        if one == other:
            why = f"{first} is at {source.line_of((*at, first))}"
            yield source.finding(
                (*at, second), f"{first} and {second} are the same address", why=why, fix="give two addresses"
            )
    for index, part in enumerate(network.ranges):
        cidr = cidr_of(network, part.start.version)
        path = (*at, "ranges", index)
        if cidr is None or part.start not in cidr or part.end not in cidr:
            yield outside(source, path, str(part), at, network, part.start.version)
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


def outside(
    source: Source, path: PathTuple, what: str, at: PathTuple, network: NetworkSection, version: int
) -> Finding:
    key = cidr_key(version)
    cidr = cidr_of(network, version)
    why = f"{source.line_of((*at, key))} is {cidr}" if cidr else f"{source.line_of(at)} has no {key}"
    return source.finding(path, f"{what} lies outside the network {at[-1]}", why=why, fix="correct it, or the network")


def inside(
    source: Source, path: PathTuple, address: Address, at: PathTuple, network: NetworkSection
) -> Iterator[Finding]:
    cidr = cidr_of(network, address.version)
    if cidr is None or address not in cidr:
        yield outside(source, path, str(address), at, network, address.version)
    elif _is_reserved(address, cidr):
        why = f"the network is {source.line_of((*at, cidr_key(address.version)))}"
        yield source.finding(
            path, f"{address} is the network's own or broadcast address", why=why, fix="give another address"
        )


def _is_reserved(address: Address, cidr: Any) -> bool:
    if address.version == 6 or cidr.prefixlen >= 31:
        return False
    return address in (cidr.network_address, cidr.broadcast_address)


def in_range(
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


def _interfaces(source: Source, region: RegionSection, networks: dict[str, NetworkSection]) -> Iterator[Finding]:
    """An interface carries packets as large as each of its networks has them."""
    yield from _narrow(source, (), region.nics, region.nics, networks)
    for number, rack in enumerate(region.racks):
        at: PathTuple = ("racks", number)
        in_rack = _laid_over(region.nics, rack.nics)
        yield from _narrow(source, at, rack.nics, in_rack, networks)
        for index, node in enumerate(rack.nodes):
            yield from _narrow(source, (*at, "nodes", index), node.nics, _laid_over(in_rack, node.nics), networks)


def _laid_over(base: dict[str, Nic], over: dict[str, Nic]) -> dict[str, Nic]:
    return {**base, **{name: on_top(base[name], nic) if name in base else nic for name, nic in over.items()}}


def _narrow(
    source: Source, at: PathTuple, said: dict[str, Nic], whole: dict[str, Nic], networks: dict[str, NetworkSection]
) -> Iterator[Finding]:
    """Findings stand where the contradiction came to be: at the last place that names the MTU or the networks."""
    for name, own in said.items():
        nic = whole[name]
        key = next((key for key in ("mtu", "networks") if key in own.model_fields_set), "")
        for network in nic.networks if key else ():
            if nic.mtu is None or network not in networks or nic.mtu >= networks[network].mtu:
                continue
            wanted = networks[network].mtu
            yield source.finding(
                (*at, "nics", name, key),
                f"the MTU {nic.mtu} of {name} is too small for the network {network}",
                why=f"{source.line_of(('networks', network, 'mtu'))} is {wanted}: larger packets would be lost",
                fix=f"set mtu of {name} to {wanted} or more, on its switch port too, or lower that of the network",
            )
