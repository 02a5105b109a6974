"""The node's firewall: what nft refuses, or what would lock the operator out, replaces nothing; where it cannot be loaded, SSH gets in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proofs.deployment import Cloud

FILE, TABLE = "/etc/scs-firewall.nft", "nft list table inet scs_deploy"


def node(**settings: Any) -> Mapping[str, Any]:
    return {"settings": settings}


def refused(cloud: Cloud, **settings: Any) -> str:
    """Apply such settings, which must fail and change nothing; return what was said."""
    before = cloud.on_node(f"cat {FILE}; {TABLE}")
    with cloud.services(node=node(**settings)):
        said = cloud.apply(code=1)
    assert cloud.on_node(f"cat {FILE}; {TABLE}") == before
    return said.stdout + said.stderr


def test_a_network_that_is_none_is_told_with_its_place(settled: Cloud) -> None:
    with settled.services(node=node(ssh_sources=["10.0.0.0/33"])):
        said = settled.run("plan", code=3).stderr
    assert "region.yml:" in said
    assert "10.0.0.0/33" in said


def test_a_rule_that_nft_refuses_replaces_nothing(settled: Cloud) -> None:
    said = refused(settled, firewall_rules=["ip saddr 192.0.2.7 tcp dport 9100 acept"])
    assert "syntax error" in said
    assert "services.node.settings.firewall_rules[0]" in said


def test_sources_that_leave_the_operator_out_are_refused(settled: Cloud) -> None:
    said = refused(settled, ssh_sources=["192.0.2.0/24"])
    assert "nobody could open an SSH connection" in said


def test_rules_that_break_out_of_their_chain_are_refused_if_they_lock_out(settled: Cloud) -> None:
    chain = "}; chain first { type filter hook input priority -10; tcp dport 22 drop"
    assert "nobody could open an SSH connection" in refused(settled, firewall_rules=[chain])


def test_a_default_route_that_would_expire_is_not_cut_off(settled: Cloud) -> None:
    """Half an hour after the apply the node would be gone, where it has its route by advertisements that are dropped."""
    rule = ["ip saddr 192.0.2.7 tcp dport 9100 accept"]
    settled.on_node("ip -6 route add default via fe80::1 dev tunnel proto ra metric 4000")
    try:
        assert "name tunnel in services.node.settings.router_advertisements" in refused(settled, firewall_rules=rule)
        with settled.services(node=node(firewall_rules=rule, router_advertisements=["tunnel"])):
            settled.apply()
    finally:
        settled.on_node("ip -6 route del default via fe80::1 dev tunnel proto ra")
    settled.apply()


def test_where_rules_cannot_be_loaded_ssh_alone_gets_in(settled: Cloud) -> None:
    """Such as a rule that names an interface which is not there yet when the node boots."""
    settled.on_node("ip link add later0 type bridge")
    with settled.services(node=node(firewall_rules=['iif "later0" tcp dport 9100 accept'])):
        settled.apply()
        settled.on_node("ip link delete later0")
        assert settled.try_on_node("systemctl restart scs-firewall").returncode
        loaded = settled.on_node(TABLE)
        assert "policy drop" in loaded
        assert [line.strip() for line in loaded.splitlines() if "tcp" in line] == ["tcp dport 22 accept"]
        (step,) = settled.steps().values()
        assert step["id"] == "n1/node-firewall"
        assert "does not run" in str(step["reasons"])
        assert "later0" in settled.apply(code=1).stderr
    settled.apply()
    assert "tcp dport 22 accept comment" in settled.on_node(TABLE)
