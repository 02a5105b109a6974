"""What a lab consists of: networks and nodes with their fixed addresses, taken from a region."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path
from typing import Any, Protocol

from scs_deploy.errors import InputError

MAX_INTERFACE_NAME = 15
"""The kernel's limit (IFNAMSIZ - 1)."""

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
AnyNetwork = IPv4Network | IPv6Network


class RegionLike(Protocol):
    """What the lab reads of a region; ``scs_deploy.model.region.Region`` is one."""

    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> Path: ...
    @property
    def networks(self) -> Mapping[str, Any]: ...
    @property
    def nodes(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """An extra disk: a block device at ``path`` inside the node, backed by a sparse file of ``size_mb`` MiB."""

    path: str
    size_mb: int


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A bridge; ``host`` are the addresses that this machine has on it, so that it reaches the nodes."""

    name: str
    host: tuple[Interface, ...]
    mtu: int = 1500

    @property
    def networks(self) -> tuple[AnyNetwork, ...]:
        return tuple(interface.network for interface in self.host)


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node; it has a NIC in each network, with those addresses that ``addresses`` gives for it.

    ``memory_mb`` 0: no limit. ``disk_mb`` > 0: container images, volumes and service data of the node lie on a
    filesystem of that size, which can be filled without harm to this machine.
    """

    name: str
    addresses: Mapping[str, tuple[Interface, ...]]
    disks: tuple[DiskSpec, ...] = ()
    memory_mb: int = 0
    disk_mb: int = 0


@dataclass(frozen=True, slots=True)
class LabSpec:
    """``source`` is the region's folder: with the name it tells apart the labs of two checkouts."""

    name: str
    source: str
    networks: tuple[NetworkSpec, ...]
    nodes: tuple[NodeSpec, ...]
    authorized_key: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        source: str,
        networks: Mapping[str, str | Sequence[str]],
        nodes: Mapping[str, Mapping[str, str | Sequence[str]]],
        *,
        mtu: int = 1500,
    ) -> LabSpec:
        """A lab from plain text: ``LabSpec.of("t", "/x", {"api": "10.1.0.1/24"}, {"n1": {"api": "10.1.0.11/24"}})``.

        A network is given by this machine's address in it.
        """
        return cls(
            name,
            source,
            tuple(NetworkSpec(net, _interfaces(text), mtu) for net, text in networks.items()),
            tuple(
                NodeSpec(node, {net: _interfaces(text) for net, text in addresses.items()})
                for node, addresses in nodes.items()
            ),
        )

    @classmethod
    def from_region(cls, region: RegionLike) -> LabSpec:
        """All nodes of the region; this machine is the gateway of each network, else its highest free address."""
        networks = []
        nodes: dict[str, dict[str, tuple[Interface, ...]]] = {node.name: {} for node in region.nodes}
        for name, network in region.networks.items():
            taken = {_address(value) for value in (network.vip, network.vip6) if value}
            host: list[Interface] = []
            cidrs = [ip_network(str(cidr)) for cidr in (network.cidr, network.cidr6) if cidr]
            for node in region.nodes:
                given = node.addresses.get(name)
                mine = [_address(value) for value in (given.v4, given.v6) if value] if given else []
                taken.update(mine)
                nodes[node.name][name] = tuple(
                    ip_interface(f"{address}/{cidr.prefixlen}") for address in mine for cidr in cidrs if address in cidr
                )
            for cidr in cidrs:
                host.append(host_address(name, cidr, getattr(network, "gateway", None), taken, network.ranges))
            networks.append(NetworkSpec(name, tuple(host), network.mtu))
        return cls(
            region.name,
            str(region.folder),
            tuple(networks),
            tuple(NodeSpec(node.name, nodes[node.name], disks_of(node)) for node in region.nodes),
        )

    def node(self, name: str) -> NodeSpec:
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise InputError(f"the lab has no node {name}", where=self.name, fix=f"nodes are: {known}")


def host_address(
    name: str, cidr: AnyNetwork, gateway: Any, taken: Iterable[Address], ranges: Iterable[Any]
) -> Interface:
    """The gateway if it lies in ``cidr``, else the highest usable address outside ``taken`` and ``ranges``."""
    if gateway and _address(gateway) in cidr:
        return ip_interface(f"{gateway}/{cidr.prefixlen}")
    used = set(taken)
    spans = [(_address(start), _address(end)) for start, end in map(_span, ranges)]
    last = int(cidr.broadcast_address) - (1 if cidr.version == 4 else 0)
    for number in range(last, max(int(cidr.network_address), last - 70000), -1):
        address = ip_address(number) if cidr.version == 4 else IPv6Address(number)
        inside = any(a.version == cidr.version and int(a) <= number <= int(b) for a, b in spans)
        if address not in used and not inside:
            return ip_interface(f"{address}/{cidr.prefixlen}")
    raise InputError(
        f"network {name} has no free address for this machine",
        why="the lab's controller needs one to reach the nodes",
        fix="give it a gateway, or shrink its ranges",
    )


def disks_of(node: Any) -> tuple[DiskSpec, ...]:
    """The disks of a node that the lab makes: those with a size, named ``/dev/...``."""
    found = []
    for disk in node.disks:
        size = getattr(disk, "size_mb", 0) or getattr(disk, "size_gb", 0) * 1024
        path = getattr(disk, "path", "") or getattr(disk, "device", "")
        if size and path:
            found.append(DiskSpec(str(path), int(size)))
    return tuple(found)


def _span(value: Any) -> tuple[Any, Any]:
    if isinstance(value, str):
        start, _, end = value.partition("-")
        return start.strip(), (end or start).strip()
    return (value.start, value.end) if hasattr(value, "start") else (value[0], value[1])


def _address(value: Any) -> Address:
    return ip_interface(str(value)).ip


def _interfaces(text: str | Sequence[str]) -> tuple[Interface, ...]:
    return tuple(ip_interface(part) for part in ([text] if isinstance(text, str) else text))
