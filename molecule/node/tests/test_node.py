"""The baseline as a node shows it: names, clock, firewall, sshd and engine."""

from __future__ import annotations

import json
from typing import Any


def test_node_resolves_its_own_name_to_an_address_of_a_network(host: Any) -> None:
    name = host.check_output("hostname")
    address = host.check_output(f"getent ahosts {name}").split()[0]
    assert not address.startswith("127."), "services would bind to loopback"


def test_clock_is_watched(host: Any) -> None:
    assert host.service("chrony").is_running
    assert host.service("chrony").is_enabled
    assert host.run("chronyc tracking").rc == 0


def test_chrony_offers_no_time_server(host: Any) -> None:
    assert not host.socket("udp://0.0.0.0:123").is_listening


def test_firewall_drops_what_nobody_publishes(host: Any) -> None:
    assert host.service("scs-firewall").is_running
    assert host.service("scs-firewall").is_enabled
    table = json.loads(host.check_output("nft --json list table inet scs_deploy"))["nftables"]
    chains = [part["chain"] for part in table if "chain" in part]
    assert {chain["hook"]: chain["policy"] for chain in chains if "hook" in chain} == {
        "input": "drop",
        "forward": "drop",
        "output": "accept",
    }


def test_node_is_no_router_and_takes_no_redirects(host: Any) -> None:
    assert host.sysctl("net.ipv4.ip_forward") == 0
    told = host.check_output(
        "cd /proc/sys/net; grep -s . ipv4/ip_forward ipv6/conf/*/forwarding ipv[46]/conf/*/accept_redirects"
    )
    assert "ipv4/conf/api/accept_redirects" in told
    assert [line for line in told.splitlines() if not line.endswith(":0")] == []


def test_ssh_listens_to_operators_on_one_address(host: Any) -> None:
    rules = host.check_output("nft list chain inet scs_deploy input").splitlines()
    (ssh,) = [rule for rule in rules if 'comment "ssh"' in rule]
    assert f"ip daddr {host.check_output('getent ahosts $(hostname)').split()[0]} " in ssh


def test_firewall_reload_keeps_other_tables(host: Any) -> None:
    host.check_output("nft add table inet scs_test_foreign")
    try:
        host.check_output("systemctl reload scs-firewall")
        assert "scs_test_foreign" in host.check_output("nft list tables")
    finally:
        host.run("nft delete table inet scs_test_foreign")


def test_sshd_takes_keys_only(host: Any) -> None:
    effective = host.check_output("sshd -T").lower().splitlines()
    assert "passwordauthentication no" in effective
    assert "kbdinteractiveauthentication no" in effective
    assert "permitrootlogin yes" not in effective
    assert {"allowtcpforwarding no", "allowagentforwarding no"} <= set(effective)
    (macs,) = [line for line in effective if line.startswith("macs ")]
    assert "sha1" not in macs
    assert "umac-64" not in macs


def test_any_balancer_may_bind_any_vip(host: Any) -> None:
    assert host.sysctl("net.ipv4.ip_nonlocal_bind") == 1


def test_journal_survives_a_reboot(host: Any) -> None:
    assert host.file("/var/log/journal").is_directory


def test_no_unit_failed(host: Any) -> None:
    assert host.check_output("systemctl list-units --failed --no-legend --plain") == ""
