"""Virtual addresses of a region: their DNS names, the numbers that tell them apart, and where a node holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scs_deploy.region.network import Address, Networks
from scs_deploy.region.region import Node, Region

_FIRST_LABELS = {"public": "api", "api": "api-int"}

NETWORK_NUMBERS, VIP_NUMBERS = 16, 15
"""How many numbers of VIPs are set aside: for networks and families, and for each of them. Their product is below VRRP's 255."""


@dataclass(frozen=True, slots=True)
class Vip:
    network: str
    address: str
    prefix: int
    name: str
    interface: str
    number: int
    """1 to 240; no two VIPs of a region have the same, and none changes because of another network."""


def dns_name(network: str, domain: str) -> str:
    """Return the DNS name of a network's VIP; most networks use their own name."""
    return f"{_FIRST_LABELS.get(network, network)}.{domain}"


def vips(region: Region, facts: Mapping[str, Any], node: Node) -> list[Vip]:
    """Return every VIP of a region, with the NIC of a node that has an address of its network."""
    found = []
    for network in region.networks.values():
        for address, cidr in ((network.vip, network.cidr), (network.vip6, network.cidr6)):
            if address and cidr:
                interface, name = _interface(facts, node, network.name), dns_name(network.name, region.domain)
                number = vip_number(network.name, address)
                found.append(Vip(network.name, str(address), cidr.prefixlen, name, interface, number))
    return found


def vip_number(network: str, address: Address) -> int:
    """Return a VIP's number, from its network and itself alone: each network and family has numbers of its own.

    Neighbours differ, so regions that share a wire rarely meet.
    """
    place = 2 * list(Networks.model_fields).index(network) + (address.version == 6)
    return place * VIP_NUMBERS + int(address) % VIP_NUMBERS + 1


def _interface(facts: Mapping[str, Any], node: Node, network: str) -> str:
    addresses = node.addresses.get(network)
    wanted = {str(address) for address in (addresses.v4, addresses.v6) if address} if addresses else set()
    for interface in facts.get("interfaces", []):
        if wanted & {str(address).partition("/")[0] for address in interface.get("addresses", [])}:
            return str(interface["name"])
    return ""
