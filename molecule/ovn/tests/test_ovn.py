"""OVN on a node: databases that want a certificate, and two ports of a logical switch that reach each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from engine import ENGINE

PARTS = ("ovn-nb", "ovn-sb", "ovn-northd", "ovn-controller", "openvswitch-db", "openvswitch-vswitchd")
TLS = "--private-key=/etc/scs-tls/key.pem --certificate=/etc/scs-tls/cert.pem --ca-cert=/etc/scs-tls/ca.pem"
PORTS = {"probe1": ("02:00:00:00:76:01", "192.0.2.1"), "probe2": ("02:00:00:00:76:02", "192.0.2.2")}


def nbctl(host: Any, command: str) -> str:
    return str(
        host.check_output(f"{ENGINE} exec ovn-nb ovn-nbctl --timeout=20 --db=ssl:10.76.1.11:6641 {TLS} {command}")
    )


def vsctl(host: Any, command: str) -> None:
    host.check_output(f"{ENGINE} exec openvswitch-vswitchd ovs-vsctl --timeout=10 {command}")


@pytest.fixture(scope="module")
def ports(host: Any) -> Iterator[None]:
    """A logical switch with two ports, each a pair of cables with one end in a namespace of its own."""
    nbctl(host, "--may-exist ls-add probe")
    for name, (mac, address) in PORTS.items():
        nbctl(host, f"--may-exist lsp-add probe {name} -- lsp-set-addresses {name} '{mac} {address}'")
        for command in (
            f"ip netns add {name}",
            f"ip link add {name} type veth peer name inside netns {name}",
            f"ip link set {name} up",
            f"ip -n {name} link set inside address {mac} mtu 1400 up",
            f"ip -n {name} address add {address}/24 dev inside",
        ):
            host.check_output(command)
        vsctl(host, f"add-port br-int {name} -- set Interface {name} external_ids:iface-id={name}")
    yield
    for name in PORTS:
        vsctl(host, f"--if-exists del-port {name}")
        host.run(f"ip link delete {name}; ip netns delete {name}")
    nbctl(host, "--if-exists ls-del probe")


def answers(host: Any) -> bool:
    return bool(host.run("ip netns exec probe1 ping -c 1 -W 1 192.0.2.2").rc == 0)


def wait_for_answer(host: Any, limit: float = 30) -> float:
    began = time.monotonic()
    while not answers(host):
        assert time.monotonic() - began < limit, host.run("journalctl -u ovn-controller -n 30 --no-pager").stdout
    return time.monotonic() - began


def test_two_ports_reach_each_other(host: Any, ports: None) -> None:
    wait_for_answer(host)


def test_tcp_works_too(host: Any, ports: None) -> None:
    """Checksums of local senders are left to the interface, which the userspace datapath must make up for."""
    wait_for_answer(host)
    server = 'import socket; s = socket.create_server(("192.0.2.2", 9)); c = s.accept()[0]; c.sendall(b"x" * 100000)'
    client = (
        'import socket; c = socket.create_connection(("192.0.2.2", 9), 5); '
        "print(sum(iter(lambda: len(c.recv(65536)), 0)))"
    )
    script = (
        f"ip netns exec probe2 timeout 20 python3 -c '{server}' & sleep 1; ip netns exec probe1 python3 -c '{client}'"
    )
    assert host.check_output(script) == "100000"


@pytest.mark.parametrize("part", PARTS)
def test_a_restart_keeps_it(host: Any, ports: None, part: str) -> None:
    wait_for_answer(host)
    host.check_output(f"systemctl restart {part}")
    assert wait_for_answer(host) < 5


@pytest.mark.parametrize("port", [6641, 6642])
def test_nobody_without_a_certificate_reads_the_databases(host: Any, port: int) -> None:
    script = (
        "import socket, ssl, sys\n"
        "t = ssl.create_default_context(cafile='/etc/scs-deploy/ovn-nb/etc/scs-tls/ca.pem')\n"
        "c = t.wrap_socket(socket.create_connection(('10.76.1.11', int(sys.argv[1])), 5), server_hostname='10.76.1.11')\n"
        'c.sendall(b\'{"method": "list_dbs", "params": [], "id": 1}\')\n'
        "print(c.recv(4096))\n"
    )
    done = host.run("python3 -c %s %s", script, str(port))
    assert "certificate required" in done.stderr or "OVN_" not in done.stdout


def test_the_node_is_a_gateway(host: Any) -> None:
    out = host.check_output(
        f"{ENGINE} exec ovn-sb ovn-sbctl --db=unix:/run/ovn/ovn-sb.sock --bare --columns=other_config list Chassis"
    )
    assert "enable-chassis-as-gw" in out
    assert "physnet1:br-ex" in out
