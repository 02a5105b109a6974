"""Probes what no node can know alone: whether full-size packets of each network pass between nodes, unfragmented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

from scs_deploy.errors import DeployError, Finding, Severity
from scs_deploy.nodes.connection import Connection
from scs_deploy.region.region import Network, Node, Region

_HEADERS = {4: 28, 6: 48}
"""Bytes of IP and ICMP headers (RFC 791, 792, 8200, 4443) that ping's payload leaves room for."""
_AT_ONCE = 20
_NO_PING = 127


@dataclass(frozen=True, slots=True)
class Probe:
    """A packet of ``mtu`` bytes from the node that asks to ``address`` of node ``to``."""

    network: str
    to: str
    address: IPv4Address | IPv6Address
    mtu: int
    severity: Severity = "error"

    def command(self) -> str:
        size = self.mtu - _HEADERS[self.address.version]
        return f"ping -q -c 2 -i 0.2 -W 2 -M do -s {size} {self.address} >/dev/null 2>&1; echo $?"


def probes(region: Region) -> dict[str, tuple[Probe, ...]]:
    """Return what each node asks: on every network the next node that has an address there, so that all are reached once, and one of them the gateway."""
    found: dict[str, list[Probe]] = {}
    present = [node for node in region.nodes if node.state == "present"]
    for network in region.networks.values():
        members = [node for node in present if network.name in node.addresses]
        for node, other in _ring(members):
            for address in other.addresses[network.name]:
                found.setdefault(node.name, []).append(Probe(network.name, other.name, address, network.mtu))
        for gateway in (address for address in (network.gateway, network.gateway6) if address):
            askers = (
                one for one in members if any(own.version == gateway.version for own in one.addresses[network.name])
            )
            for node in islice(askers, 1):
                found.setdefault(node.name, []).append(_gateway(network, gateway))
    return {name: tuple(asked) for name, asked in found.items()}


def _gateway(network: Network, address: IPv4Address | IPv6Address) -> Probe:
    """A router may leave pings unanswered and still do its work, so it is only a warning."""
    return Probe(network.name, "the gateway", address, network.mtu, "warning")


def run(region: Region, connections: Mapping[str, Connection]) -> list[Finding]:
    """Let all nodes ask, one ssh each; return a finding per packet that did not arrive."""
    wanted = probes(region)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = pool.map(lambda name: _ask(connections[name], wanted[name]), wanted)
        return [
            finding for name, codes in zip(wanted, answers, strict=True) for finding in judge(name, wanted[name], codes)
        ]


def judge(node: str, asked: Sequence[Probe], codes: Sequence[int]) -> Iterator[Finding]:
    """Turn ping's exit codes (0 answered, 1 no answer, 127 no ping) into findings; no codes: the node was not reached."""
    if _NO_PING in codes:
        yield Finding(
            "packets between nodes were not probed", why="there is no ping on the node", fix="install iputils-ping",
            path=node, severity="info",
        )  # fmt: skip
        return
    for probe, code in zip(asked, codes, strict=False):
        if code:
            yield Finding(
                f"packets of {probe.mtu} bytes do not reach {probe.to} on network {probe.network}",
                why=f"ping with forbidden fragmentation to {probe.address} got no answer: the path is down, or carries less",
                fix="raise the MTU of NICs and switches on the way, or lower the network's mtu in region.yml",
                path=node,
                severity=probe.severity,
            )


def _ask(connection: Connection, asked: Sequence[Probe]) -> list[int]:
    script = "; ".join(probe.command() for probe in asked)
    try:
        said = connection.output(["sh", "-c", script], timeout=10 + 6 * len(asked))
    except DeployError:
        return []  # observe has told already that the node does not answer
    return [int(line) for line in said.split()]


def _ring(members: Sequence[Node]) -> Iterator[tuple[Node, Node]]:
    if len(members) > 1:
        yield from zip(members, (*members[1:], members[0]), strict=True)
