"""The wires of a lab as data: which bridges and cables there must be, and the commands that make what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from scs_deploy.lab.identity import LabNames
from scs_deploy.lab.spec import MAX_INTERFACE_NAME, AnyNetwork, LabSpec, NodeSpec

Command = tuple[str, ...]

UPLINK_INSIDE = "uplink"


@dataclass(frozen=True, slots=True)
class Link:
    """A link that exists: its bridge ("" without one), whether it is up, its MTU and addresses with prefix."""

    master: str
    up: bool
    mtu: int
    addresses: frozenset[str]


def nic(network: str) -> str:
    """A node's NIC is called like its network."""
    return network[:MAX_INTERFACE_NAME]


def bridge_commands(names: LabNames, spec: LabSpec, actual: Mapping[str, Link]) -> list[Command]:
    """``ip`` commands (without the program's name) that make the missing bridges and addresses and remove stale bridges."""
    commands: list[Command] = []
    wanted = {names.bridge(network.name): network for network in spec.networks}
    for name in sorted(actual):
        if name.startswith(f"{names.prefix}-") and name not in wanted and name != names.uplink:
            commands.append(("link", "delete", name))
    for bridge, network in wanted.items():
        link = actual.get(bridge)
        if link is None:
            commands.append(("link", "add", bridge, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0"))
            commands.append(("link", "set", bridge, "alias", f"scs-deploy lab {spec.name}: {network.name}"))
        if link is None or link.mtu != network.mtu or not link.up:
            commands.append(("link", "set", bridge, "mtu", str(network.mtu), "up"))
        for address in network.host:
            if link is None or str(address) not in link.addresses:
                extra = ("nodad",) if address.version == 6 else ()
                commands.append(("address", "replace", str(address), "dev", bridge, *extra))
        for stale in sorted(link.addresses if link else ()):
            if stale not in {str(address) for address in network.host} and not stale.startswith("fe80:"):
                commands.append(("address", "delete", stale, "dev", bridge))
    return commands


def cable_commands(names: LabNames, spec: LabSpec, actual: Mapping[str, Link]) -> list[Command]:
    """``ip`` commands that connect each node to each bridge; the peer appears in the node's namespace at once."""
    commands: list[Command] = []
    wanted: set[str] = set()
    for node in spec.nodes:
        for network in spec.networks:
            name, bridge, mtu = names.link(node.name, network.name), names.bridge(network.name), str(network.mtu)
            wanted.add(name)
            link = actual.get(name)
            if link is None:
                peer = ("peer", "name", nic(network.name), "mtu", mtu, "address", names.mac(node.name, network.name))
                place = ("netns", str(names.namespace(node.name)))
                commands.append(("link", "add", name, "mtu", mtu, "type", "veth", *peer, *place))
            if link is None or link.master != bridge or not link.up or link.mtu != network.mtu:
                commands.append(("link", "set", name, "mtu", mtu, "master", bridge, "up"))
    stale = sorted(name for name in actual if name.startswith(f"{names.prefix}v") and name not in wanted)
    return [*(("link", "delete", name) for name in stale), *commands]


def node_network(spec: LabSpec, node: NodeSpec) -> str:
    """Input of ``ip -force -batch`` inside the node's namespace: all addresses and the default route; repeatable."""
    lines = ["link set lo up"]
    for network in spec.networks:
        name = nic(network.name)
        lines.append(f"link set {name} mtu {network.mtu} up")
        for address in node.addresses.get(network.name, ()):
            lines.append(f"address replace {address} dev {name}" + (" nodad" if address.version == 6 else ""))
    gateway = default_gateway(spec, node)
    if gateway:
        lines.append(f"route replace default via {gateway}")
    return "\n".join(lines) + "\n"


def default_gateway(spec: LabSpec, node: NodeSpec) -> IPv4Address | None:
    """This machine, in the first network where the node has an IPv4 address."""
    for network in spec.networks:
        if any(address.version == 4 for address in node.addresses.get(network.name, ())):
            for host in network.host:
                if isinstance(host, IPv4Interface):
                    return host.ip
    return None


def uplink_addresses(names: LabNames) -> tuple[IPv4Interface, IPv4Interface]:
    """This machine's and the lab's end of the uplink: one /30 of the shared range 100.64.0.0/10 per lab id."""
    base = int(IPv4Address("100.64.0.0")) + int(names.id, 16) * 4
    return IPv4Interface(f"{IPv4Address(base + 1)}/30"), IPv4Interface(f"{IPv4Address(base + 2)}/30")


def uplink_commands(names: LabNames, namespace: Path, outside: IPv4Interface) -> list[Command]:
    """Connect this machine with a lab in a namespace of its own."""
    return [
        ("link", "add", names.uplink, "type", "veth", "peer", "name", UPLINK_INSIDE, "netns", str(namespace)),
        ("address", "replace", str(outside), "dev", names.uplink),
        ("link", "set", names.uplink, "up"),
    ]


def uplink_inside(outside: IPv4Interface, inside: IPv4Interface) -> list[Command]:
    return [
        ("address", "replace", str(inside), "dev", UPLINK_INSIDE),
        ("link", "set", UPLINK_INSIDE, "up"),
        ("route", "replace", "default", "via", str(outside.ip)),
    ]


def firewall(names: LabNames, sources: Iterable[AnyNetwork]) -> str:
    """Our own nftables table, replaced as a whole: lab nodes get out masqueraded, nobody from outside gets in."""
    listed = ", ".join(str(network) for network in sources if network.version == 4)
    ours = f'"{names.prefix}-*"'
    return (
        f"add table ip {names.table}\ndelete table ip {names.table}\n"
        f"table ip {names.table} {{\n"
        "  chain postrouting {\n    type nat hook postrouting priority srcnat;\n"
        f"    ip saddr {{ {listed} }} oifname != {ours} masquerade\n  }}\n"
        "  chain forward {\n    type filter hook forward priority filter;\n"
        f"    oifname {ours} iifname != {ours} ct state new drop\n  }}\n"
        "}\n"
    )


def clashes(spec: LabSpec, existing: Mapping[str, Sequence[AnyNetwork]], names: LabNames) -> list[str]:
    """Sentences naming each network of the lab that overlaps one this machine already has on another interface."""
    found = []
    for network in spec.networks:
        for mine in network.networks:
            for interface, subnets in existing.items():
                if interface.startswith(names.prefix):
                    continue
                found += [
                    f"{network.name} {mine} overlaps {other} of interface {interface}"
                    for other in subnets
                    if other.version == mine.version and other.overlaps(mine)
                ]
    return found
