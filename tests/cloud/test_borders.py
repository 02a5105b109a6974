"""Where the cloud lives and what it shows to others: in the node, and by TLS."""

from __future__ import annotations

import ipaddress
import json
import shlex
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from proofs.deployment import Cloud

PROGRAMS = (
    "qemu-system",
    "nova-",
    "neutron-",
    "cinder-",
    "ceph-",
    "ovs-",
    "ovn",
    "libvirtd",
    "mariadbd",
    "uwsgi",
    "glance",
)


def test_every_process_of_the_cloud_is_in_the_pid_namespace_of_the_node(cloud: Cloud) -> None:
    inside = {int(pid) for pid in cloud.on_node("cd /proc && ls -d [0-9]*").split()}
    assert len(inside) > 50
    own = Path("/proc/self/ns/pid").readlink()
    outside = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name = (process / "comm").read_text().strip()
            if name.startswith(PROGRAMS) and (process / "ns/pid").readlink() == own:
                outside[process.name] = name
        except OSError:
            continue
    assert outside == {}


PLAIN = {"ceph-mon", "ceph-osd", "ceph-mgr", "ceph-metrics", "rabbitmq-epmd"}
"""Names of ports that others reach without TLS; why is in ``plain_reason`` of each in its service.yml."""

AFTER_A_GREETING = {"mariadb"}
"""TLS begins inside their own protocol; Molecule's test_listeners.py goes that way."""

SSH = 22


IN_PLAIN = """
import json, socket, ssl, sys
trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
plain = []
for address, number in json.loads(sys.argv[1]):
    with socket.create_connection((address, number), 5) as link:
        link.settimeout(30)
        try:
            trust.wrap_socket(link).close()
        except ssl.SSLError as error:
            if "ALERT" not in (error.reason or ""):  # a refusal in TLS's own words is TLS
                plain.append((address, number))
print(json.dumps(plain))
"""


def test_whatever_others_reach_speaks_tls_or_is_on_the_list_of_exceptions(cloud: Cloud) -> None:
    """Asked by the node itself, which its firewall lets in everywhere."""
    named = {one: name_of(cloud, one[1]) for one in listeners(cloud) if one[1] != SSH}
    assert {name for name in named.values() if name.isdigit()} == set(), "nobody declared these"
    asked = shlex.quote(json.dumps(sorted(named)))
    plain = {named[address, number] for address, number in json.loads(cloud.on_node(f"python3 - {asked}", IN_PLAIN))}
    assert plain == PLAIN | AFTER_A_GREETING
    reasons = {
        port.name: port.plain_reason
        for service in cloud.site.catalogue.services.values()
        for component in service.components.values()
        for port in component.ports
        if not port.tls
    }
    assert reasons.keys() >= PLAIN
    assert all(len(reasons[name]) > 20 for name in PLAIN)


OF_A_NETWORK = {
    "api": {"rabbitmq", "ovn-sb", "memcached", "libvirt"},
    "storage": {"ceph-mon", "ceph-mgr", "ceph-osd"},
}
"""Ports that are open to all of their network: compute nodes need them, whose addresses no other node lists."""


def test_from_each_network_others_reach_what_is_published_and_no_more(cloud: Cloud) -> None:
    """Of all that listens on the node, whatever a stranger's address and whichever way it takes."""
    topology, (node,) = cloud.site.topology, cloud.site.region.nodes
    fronts = [
        (topology.vip(network), front.port or port.port, network == port.network and not front.sources)
        for port in topology.exposed.values()
        if (front := port.frontend)
        for network in front.networks
        if network != port.network or not front.sources
    ]
    published = {(address, number) for address, number, inside in fronts if not inside}
    internal = {(address, number) for address, number, inside in fronts if inside}
    targets = sorted(listeners(cloud) | published | internal)
    assert len(published) > 5
    for network in cloud.lab.spec.networks:
        for stranger in (str(one.ip) for one in network.host if one.version == 4):
            more = internal | {(str(node.addresses["api"].v4), SSH)} if network.name == "api" else set()
            own = {one for one in listeners(cloud) if name_of(cloud, one[1]) in OF_A_NETWORK.get(network.name, ())}
            assert answering(stranger, targets) == published | more | own, f"from {stranger}, of {network.name}"


def answering(source: str, targets: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those that let an address of this machine connect."""

    def connects(target: tuple[str, int]) -> bool:
        try:
            socket.create_connection(target, 2, (source, 0)).close()
        except OSError:
            return False
        return True

    with ThreadPoolExecutor(len(targets)) as pool:
        return {target for target, open_ in zip(targets, pool.map(connects, targets), strict=True) if open_}


def name_of(cloud: Cloud, number: int) -> str:
    """The declared port of a number; a stranger is named by its number, which is on no list."""
    for service in cloud.site.catalogue.services.values():
        for component in service.components.values():
            for port in component.ports:
                front = port.frontend.port if port.frontend else 0
                if number in (front, *range(port.port, max(port.port, port.last or 0) + 1)):
                    return str(port.name)
    return str(number)


def listeners(cloud: Cloud) -> set[tuple[str, int]]:
    """TCP listeners of the node that are not on loopback, where others reach them."""
    (node,) = cloud.site.region.nodes
    own = [str(address) for one in node.addresses.values() for address in (one.v4, one.v6) if address]
    found: set[tuple[str, int]] = set()
    for line in cloud.on_node("ss -Hltn").splitlines():
        address, _, number = line.split()[3].rpartition(":")
        address = address.strip("[]").partition("%")[0].strip("[]")
        if address in ("*", "0.0.0.0", "::"):  # noqa: S104 - what ss prints
            found |= {(one, int(number)) for one in own}
        elif not ipaddress.ip_address(address).is_loopback:
            found.add((address, int(number)))
    return found
