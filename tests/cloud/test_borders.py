"""Where the cloud lives and what it shows to others: in the node, and by TLS."""

from __future__ import annotations

import ipaddress
import socket
import ssl
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


def test_whatever_others_reach_speaks_tls_or_is_on_the_list_of_exceptions(cloud: Cloud) -> None:
    named = {(name_of(cloud, number), address, number) for address, number in listeners(cloud) if number != SSH}
    assert {one for one in named if one[0].isdigit()} == set(), "nobody declared these"
    assert {name for name, address, number in named if in_plain(address, number)} == PLAIN | AFTER_A_GREETING
    reasons = {
        port.name: port.plain_reason
        for service in cloud.site.catalogue.services.values()
        for component in service.components.values()
        for port in component.ports
        if not port.tls
    }
    assert reasons.keys() >= PLAIN
    assert all(len(reasons[name]) > 20 for name in PLAIN)


def name_of(cloud: Cloud, number: int) -> str:
    """The declared port of a number; a stranger is named by its number, which is on no list."""
    for service in cloud.site.catalogue.services.values():
        for component in service.components.values():
            for port in component.ports:
                front = port.frontend.port if port.frontend else 0
                if number in (front, *range(port.port, max(port.port, port.last or 0) + 1)):
                    return str(port.name)
    return str(number)


def in_plain(address: str, number: int) -> bool:
    """Whether somebody beside the node gets a connection there that is no TLS; a refusal in TLS's own words is TLS."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address, number), 5) as link:
            link.settimeout(30)
            try:
                trust.wrap_socket(link).close()
            except ssl.SSLError as error:
                return "ALERT" not in (error.reason or "")
            return False
    except ConnectionRefusedError:
        return False


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
