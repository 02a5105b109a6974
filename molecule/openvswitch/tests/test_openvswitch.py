"""Open vSwitch on a node: the provider bridge has the interface and the node's address, whatever is restarted or taken away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from engine import ENGINE, kill

ADDRESS = "10.76.5.11/24"
PARTS = ("openvswitch-db", "openvswitch-vswitchd", "openvswitch-bridges")


def vsctl(host: Any, command: str) -> str:
    return str(host.check_output(f"{ENGINE} exec openvswitch-db ovs-vsctl --timeout=5 {command}"))


def addresses(host: Any, link: str) -> list[str]:
    out = host.run(f"ip -o address show dev {link} scope global").stdout
    return [line.split()[3] for line in out.splitlines()]


def bridges_as_wanted(host: Any) -> bool:
    found = addresses(host, "br-ex") == [ADDRESS] and addresses(host, "external") == []
    return found and "external" in host.run(f"{ENGINE} exec openvswitch-db ovs-vsctl list-ports br-ex").stdout.split()


def seconds_until(host: Any, good: Callable[[Any], bool], limit: float = 30) -> float:
    began = time.monotonic()
    while not good(host):
        assert time.monotonic() - began < limit, host.run("journalctl -u openvswitch-bridges -n 20 --no-pager").stdout
        time.sleep(0.1)
    return time.monotonic() - began


def test_the_address_of_the_node_is_on_the_bridge(host: Any) -> None:
    assert bridges_as_wanted(host)
    assert vsctl(host, "get Interface br-ex mtu_request") == "1500"


def test_the_datapath_is_that_of_the_kernel_where_it_has_one(host: Any) -> None:
    kernel = host.file("/sys/module/openvswitch").exists
    assert vsctl(host, "get Bridge br-ex datapath_type").strip('"') == ("system" if kernel else "netdev")
    tso = host.run(f"{ENGINE} exec openvswitch-db ovs-vsctl get Open_vSwitch . other_config:userspace-tso-enable")
    assert (tso.rc == 0) is not kernel


@pytest.mark.parametrize("part", PARTS)
def test_a_restart_keeps_bridge_and_address(host: Any, part: str) -> None:
    host.check_output(f"systemctl restart {part}")
    assert seconds_until(host, bridges_as_wanted) < 5


def test_a_kill_of_the_switch_keeps_bridge_and_address(host: Any) -> None:
    kill(host, "openvswitch-vswitchd")
    time.sleep(1)
    assert seconds_until(host, bridges_as_wanted) < 15


@pytest.mark.parametrize(
    "damage",
    [
        f"ip address del {ADDRESS} dev br-ex",
        f"ip address add {ADDRESS} dev external",
        f"{ENGINE} exec openvswitch-db ovs-vsctl del-port external",
        f"{ENGINE} exec openvswitch-db ovs-vsctl del-br br-ex",
    ],
)
def test_what_is_taken_away_comes_back_by_itself(host: Any, damage: str) -> None:
    host.check_output(damage)
    assert seconds_until(host, bridges_as_wanted) < 30


def test_an_interface_that_went_down_as_the_switch_took_it_comes_up(host: Any) -> None:
    """The switch writes back flags that it read before a server's interface was set up; seen on a busy node."""
    try:
        host.check_output("ip tuntap add scs-molecule mode tap")
        vsctl(host, "add-port br-ex scs-molecule")
        for state in ("up", "down"):
            host.check_output(f"ip link set scs-molecule {state}")
            seconds_until(host, lambda host: ",UP" in host.check_output("ip -o link show scs-molecule"))
    finally:
        vsctl(host, "--if-exists del-port scs-molecule")
        host.run("ip link delete scs-molecule")


def wait_until_the_bridge_is_back(host: Any, switch: str) -> None:
    for _ in range(60):
        if host.run(f"{switch} show br-ex || exit 1").rc == 0:
            return
        time.sleep(0.5)
    raise AssertionError("br-ex did not come back")


def test_flows_come_back_after_a_restart(host: Any) -> None:
    flow = "priority=7,dl_type=0x88b5,actions=drop"
    switch = f"{ENGINE} exec openvswitch-vswitchd ovs-ofctl"
    host.check_output(f"{switch} add-flow br-ex {flow}")
    try:
        host.check_output("systemctl restart openvswitch-vswitchd")
        wait_until_the_bridge_is_back(host, switch)
        assert "dl_type=0x88b5" in host.check_output(f"{switch} dump-flows br-ex")
    finally:
        host.check_output(f"{switch} del-flows br-ex dl_type=0x88b5")
