"""What a lab consists of: networks and nodes with their fixed addresses, taken from a region."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
)

from scs_deploy.errors import InputError
from scs_deploy.region.network import AddressRange
from scs_deploy.region.rack import Node
from scs_deploy.region.region import Region

MAX_INTERFACE_NAME = 15
"""The kernel's limit (IFNAMSIZ - 1)."""

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
AnyNetwork = IPv4Network | IPv6Network


DISK_GB = 10
"""Size of a disk whose size the region does not say."""


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
    """``source`` is the region's folder: with the name it tells apart the labs of two checkouts.

    ``release`` "": the newest, ``mirror`` "": the release's own, ``authorized_key``: one more public key for root.
    """

    name: str
    source: str
    networks: tuple[NetworkSpec, ...]
    nodes: tuple[NodeSpec, ...]
    release: str = ""
    mirror: str = ""
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
    def from_region(cls, region: Region) -> LabSpec:
        """All nodes of the region; this machine is the gateway of each network, else its highest free address."""
        networks = []
        nodes: dict[str, dict[str, tuple[Interface, ...]]] = {node.name: {} for node in region.nodes}
        for name, network in region.networks.items():
            cidrs: list[AnyNetwork] = [cidr for cidr in (network.cidr, network.cidr6) if cidr is not None]
            taken: set[Address] = {vip for vip in (network.vip, network.vip6) if vip is not None}
            for node in region.nodes:
                mine = tuple(node.addresses.get(name, ()))
                taken.update(mine)
                nodes[node.name][name] = tuple(
                    ip_interface(f"{address}/{cidr.prefixlen}") for address in mine for cidr in cidrs if address in cidr
                )
            gateways = (network.gateway, network.gateway6)
            host = tuple(host_address(name, cidr, gateways, taken, network.ranges) for cidr in cidrs)
            networks.append(NetworkSpec(name, host, network.mtu))
        return cls(
            region.name,
            str(region.folder),
            tuple(networks),
            tuple(NodeSpec(node.name, nodes[node.name], disks_of(node)) for node in region.nodes),
            release=region.release,
            mirror=region.nodes[0].mirror if region.nodes else "",
        )

    def node(self, name: str) -> NodeSpec:
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise InputError(f"the lab has no node {name}", where=self.name, fix=f"nodes are: {known}")


def host_address(
    name: str,
    cidr: AnyNetwork,
    gateways: Iterable[Address | None],
    taken: Collection[Address],
    ranges: Iterable[AddressRange],
) -> Interface:
    """A gateway that lies in ``cidr``, else the highest usable address outside ``taken`` and ``ranges``."""
    for gateway in gateways:
        if gateway is not None and gateway in cidr:
            return ip_interface(f"{gateway}/{cidr.prefixlen}")
    spans = [span for span in ranges if span.start.version == cidr.version]
    number = int(cidr.broadcast_address) - 1
    while number > int(cidr.network_address):
        address = type(cidr.network_address)(number)
        inside = [span for span in spans if address in span]
        if not inside and address not in taken:
            return ip_interface(f"{address}/{cidr.prefixlen}")
        number = min((int(span.start) for span in inside), default=number) - 1
    raise InputError(
        f"network {name} has no free address for this machine",
        why="the lab's controller needs one to reach the nodes",
        fix="give it a gateway, or shrink its ranges",
    )


def disks_of(node: Node) -> tuple[DiskSpec, ...]:
    """The node's disks that have a path, but for the system's own; a lab's disk is a sparse file of the size that is said."""
    return tuple(
        DiskSpec(disk.path, (disk.size_gb or DISK_GB) * 1024)
        for disk in node.disks
        if disk.path and disk.use != "system"
    )


def _interfaces(text: str | Sequence[str]) -> tuple[Interface, ...]:
    return tuple(ip_interface(part) for part in ([text] if isinstance(text, str) else text))
