"""libvirt on a node: machines survive whatever happens around them; only the libvirt of another node gets in by network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from engine import ENGINE

MACHINE = """
<domain type="qemu"><name>molecule</name><memory unit="MiB">32</memory><os><type arch="x86_64">hvm</type></os>
<devices><serial type="pty"><log file="/var/lib/nova/molecule.log"/></serial></devices></domain>
"""

WITHOUT_CERTIFICATE = """
import socket, ssl, sys
context = ssl.create_default_context(cafile="/etc/scs-deploy/libvirt/etc/scs-tls/ca.pem")
if len(sys.argv) > 2:
    context.load_cert_chain(sys.argv[2])
try:
    with context.wrap_socket(socket.create_connection((sys.argv[1], 16514), 10), server_hostname=sys.argv[1]) as link:
        print("open" if link.recv(1) == b"\\1" else "closed")
except OSError:
    print("closed")
"""


def virsh(host: Any, command: str) -> str:
    return str(host.check_output(f"{ENGINE} exec libvirt virsh --quiet {command}").strip())


def wait_for_libvirt(host: Any) -> None:
    for _ in range(60):
        if host.run(f"{ENGINE} exec libvirt virsh --quiet list || exit 1").rc == 0:
            return
        time.sleep(1)
    raise AssertionError("libvirt did not come back:\n" + host.run("journalctl -u libvirt -n 50 --no-pager").stdout)


@pytest.fixture(scope="module")
def machine(host: Any) -> Iterator[int]:
    """The process number of the QEMU of a machine that runs its firmware only."""
    host.run(f"{ENGINE} exec libvirt virsh --quiet destroy molecule")
    host.check_output(f"echo %s | {ENGINE} exec -i libvirt virsh --quiet define /dev/stdin", MACHINE)
    virsh(host, "start molecule")
    yield int(host.check_output("cat /run/libvirt/qemu/molecule.pid"))
    host.run(f"{ENGINE} exec libvirt virsh --quiet destroy molecule")
    host.run(f"{ENGINE} exec libvirt virsh --quiet undefine molecule")


EVENTS = [
    "systemctl restart libvirt",
    "systemctl stop libvirt; systemctl start libvirt",
    f"{ENGINE} rm --force libvirt; systemctl restart libvirt",
    "kill -KILL $(cat /run/libvirt/libvirtd.pid)",
    f"systemctl restart {ENGINE}.service",
    "systemctl daemon-reexec",
]
if ENGINE == "podman":  # with Docker a unit has no processes, and nobody but apply starts a container that was removed
    EVENTS += ["podman rm --force --time 0 libvirt", "systemctl kill --signal KILL libvirt"]


@pytest.mark.parametrize("event", EVENTS)
def test_a_machine_survives(host: Any, machine: int, event: str) -> None:
    host.check_output(event)
    time.sleep(3)
    wait_for_libvirt(host)
    assert virsh(host, "domstate molecule") == "running"
    assert host.check_output("cat /run/libvirt/qemu/molecule.pid") == str(machine)
    assert "qemu-system" in host.check_output(f"cat /proc/{machine}/comm")


def test_a_machine_is_not_in_the_control_group_of_a_unit(host: Any, machine: int) -> None:
    assert "0::/machine.slice/scs-libvirt" in host.check_output(f"cat /proc/{machine}/cgroup")


def test_a_machine_belongs_to_a_user_without_rights(host: Any, machine: int) -> None:
    (process,) = host.process.filter(pid=machine)
    assert process.euid == 64055
    assert "CapPrm:\t0000000000000000" in host.check_output(f"cat /proc/{machine}/status")


def test_a_restart_takes_seconds_although_machines_run(host: Any, machine: int) -> None:
    assert machine
    before = time.monotonic()
    host.check_output("systemctl restart libvirt")
    assert time.monotonic() - before < 15
    wait_for_libvirt(host)


def test_only_the_libvirt_of_a_node_gets_in_by_network(host: Any) -> None:
    address = host.check_output("ss -Hltn sport = :16514").split()[3].rpartition(":")[0]
    assert virsh(host, f"-c qemu+tls://{address}/system version")
    folder = "/etc/scs-deploy/{}/etc/scs-tls/bundle.pem"
    assert host.check_output(f"python3 -c %s {address} {folder.format('libvirt')}", WITHOUT_CERTIFICATE) == "open"
    for other in ("libvirt-qemu", "memcached"):
        assert host.check_output(f"python3 -c %s {address} {folder.format(other)}", WITHOUT_CERTIFICATE) == "closed"
    assert host.check_output(f"python3 -c %s {address}", WITHOUT_CERTIFICATE) == "closed"


AS_A_GUEST = """
import os, socket, sys
os.setgroups([])
os.setgid(64055)
os.setuid(64055)
for target in sys.argv[1:]:
    address, _, port = target.rpartition(":")
    try:
        socket.create_connection((address.strip("[]"), int(port)), 3).close()
        print(port, "open")
    except OSError as error:
        print(port, type(error).__name__)
"""


def test_the_user_of_guests_reaches_storage_and_nothing_else(host: Any) -> None:
    """Whoever breaks out of QEMU is this user, in the network of the node."""
    ports = {"3300": "open", "16514": "", "3306": "", "6641": "", "11211": "", "22": ""}
    lines = host.check_output("ss -Hltn").splitlines()
    listeners = {port: line.split()[3] for line in lines for port in ports if line.split()[3].endswith(f":{port}")}
    assert listeners.keys() == ports.keys()
    own = listeners["6641"].rpartition(":")[0]
    targets = [f"{own}:22" if port == "22" else listeners[port] for port in ports]
    found = dict(
        line.split() for line in host.check_output(f"python3 -c %s {' '.join(targets)}", AS_A_GUEST).splitlines()
    )
    assert {port for port, said in found.items() if said == "open"} == {port for port, said in ports.items() if said}
