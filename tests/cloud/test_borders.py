"""Where the cloud lives and what it shows to others: in the node, and by TLS."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from tests.deployment import Cloud

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


def test_listeners_that_others_reach_are_declared_and_encrypted_or_excused(cloud: Cloud) -> None:
    """Whether a declared port really speaks TLS is tried by Molecule's test_listeners.py, port by port."""
    session = cloud.session()
    declared, plain = {22, 123}, set()
    ranges = []
    for port in session.topology.exposed.values():
        declared.add(port.port)
        if port.frontend:
            declared.add(port.frontend.port or port.port)
        if not port.tls:
            plain.add(port.name)
    for service in session.catalogue.services.values():
        for component in service.components.values():
            for port in component.ports:
                assert port.tls or len(port.plain_reason) > 20, port.name
                ranges.append(range(port.port, max(port.port, getattr(port, "last", 0) or 0) + 1))
    strangers = {
        (address, number)
        for address, number in listeners(cloud)
        if number not in declared and not any(number in one for one in ranges)
    }
    assert strangers == set()


def listeners(cloud: Cloud) -> set[tuple[str, int]]:
    """TCP listeners of the node that are not on loopback."""
    found = set()
    for line in cloud.on_node("ss -Hltn").splitlines():
        address, _, number = line.split()[3].rpartition(":")
        address = address.strip("[]").partition("%")[0].strip("[]")
        if address == "*" or not ipaddress.ip_address(address).is_loopback:
            found.add((address, int(number)))
    return found
