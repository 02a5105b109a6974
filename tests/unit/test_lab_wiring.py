"""The wiring plan: commands for what is missing, none for what is there, and no name that two things share."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from scs_deploy.lab.identity import LabNames
from scs_deploy.lab.spec import LabSpec
from scs_deploy.lab.wiring import (
    Link,
    bridge_commands,
    cable_commands,
    clashes,
    firewall,
    node_network,
    uplink_addresses,
)

SPEC = LabSpec.of(
    "t",
    "/x",
    {"api": ["10.1.0.1/24", "fd01::1/64"], "tunnel": "10.2.0.1/24"},
    {"n1": {"api": ["10.1.0.11/24", "fd01::11/64"], "tunnel": "10.2.0.11/24"}, "n2": {"api": "10.1.0.12/24"}},
    mtu=1400,
)
NAMES = LabNames.of("t", "/x")


def complete() -> dict[str, Link]:
    links = {
        NAMES.bridge(n.name): Link("", True, 1400, frozenset(str(a) for a in n.host) | {"fe80::1/64"})
        for n in SPEC.networks
    }
    for node in SPEC.nodes:
        for n in SPEC.networks:
            links[NAMES.link(node.name, n.name)] = Link(NAMES.bridge(n.name), True, 1400, frozenset())
    return links


def test_a_complete_lab_needs_no_command() -> None:
    assert bridge_commands(NAMES, SPEC, complete()) == []
    assert cable_commands(NAMES, SPEC, complete()) == []


def test_from_nothing_every_bridge_and_cable_is_made_with_its_mtu() -> None:
    made = [c for c in bridge_commands(NAMES, SPEC, {}) if c[:2] == ("link", "add")]
    assert [c[2] for c in made] == [NAMES.bridge("api"), NAMES.bridge("tunnel")]
    cables = [c for c in cable_commands(NAMES, SPEC, {}) if c[:2] == ("link", "add")]
    assert len(cables) == 4
    assert all("1400" in c and c[-2] == "netns" for c in cables)
    assert cables[0][-1] == str(NAMES.namespace("n1"))


def test_a_lost_bridge_is_made_anew_and_its_cables_plugged_in_again() -> None:
    links = complete()
    del links[NAMES.bridge("api")]
    for name, link in list(links.items()):
        if link.master == NAMES.bridge("api"):
            links[name] = replace(link, master="")
    bridges = bridge_commands(NAMES, SPEC, links)
    assert {c[2] for c in bridges if c[0] == "link"} == {NAMES.bridge("api")}
    assert ("address", "replace", "10.1.0.1/24", "dev", NAMES.bridge("api")) in bridges
    cables = cable_commands(NAMES, SPEC, links)
    assert {c[2] for c in cables} == {NAMES.link("n1", "api"), NAMES.link("n2", "api")}
    assert all(c[1] == "set" and NAMES.bridge("api") in c for c in cables)


def test_changed_addresses_and_removed_networks_and_nodes_go_but_the_uplink_stays() -> None:
    links = complete()
    api = NAMES.bridge("api")
    links[api] = replace(links[api], addresses=links[api].addresses | {"10.9.0.1/24"})
    links[NAMES.bridge("old")] = Link("", True, 1500, frozenset())
    links[NAMES.uplink] = Link("", True, 1500, frozenset())
    links[NAMES.link("gone", "api")] = Link(api, True, 1400, frozenset())
    assert bridge_commands(NAMES, SPEC, links) == [
        ("link", "delete", NAMES.bridge("old")),
        ("address", "delete", "10.9.0.1/24", "dev", api),
    ]
    assert cable_commands(NAMES, SPEC, links) == [("link", "delete", NAMES.link("gone", "api"))]


def test_links_of_other_labs_and_of_the_machine_are_never_touched() -> None:
    other = LabNames("ffff")
    links = complete() | {
        name: Link("", False, 1, frozenset({"10.1.0.1/24"})) for name in ("eth0", "docker0", other.bridge("api"))
    }
    assert bridge_commands(NAMES, SPEC, links) == []
    assert cable_commands(NAMES, SPEC, links) == []


def test_a_node_gets_all_addresses_and_one_default_route_by_its_first_ipv4_network() -> None:
    lines = node_network(SPEC, SPEC.node("n1")).splitlines()
    assert "address replace fd01::11/64 dev api nodad" in lines
    assert "address replace 10.2.0.11/24 dev tunnel" in lines
    assert [line for line in lines if line.startswith("route")] == ["route replace default via 10.1.0.1"]


def test_names_fit_the_kernel_and_differ() -> None:
    networks = ("api", "storage", "migration", "migrations", "a-very-long-network-name", "a-very-long-network-nama")
    names = [NAMES.bridge(n) for n in networks] + [NAMES.link(f"n{i}", n) for i in range(300) for n in networks]
    assert all(len(name) <= 15 for name in names)
    assert len(set(names)) == len(names)
    assert LabNames.of("box", "/a/box").id != LabNames.of("box", "/b/box").id


def test_a_taken_subnet_is_named_with_its_interface_unless_it_is_the_labs_own() -> None:
    taken = {"eth0": [ip_network("10.1.0.128/25")], NAMES.bridge("tunnel"): [ip_network("10.2.0.0/24")]}
    assert clashes(SPEC, taken, NAMES) == ["api 10.1.0.0/24 overlaps 10.1.0.128/25 of interface eth0"]
    assert clashes(SPEC, {"eth0": [ip_network("192.0.2.0/24")]}, NAMES) == []


def test_uplinks_of_different_labs_do_not_overlap() -> None:
    pairs = [uplink_addresses(LabNames(lab)) for lab in ("0000", "0001", "ffff")]
    assert all(a.network == b.network and a.ip != b.ip for a, b in pairs)
    assert len({a.network for a, _ in pairs}) == 3
    assert all(a.network.subnet_of(ip_network("100.64.0.0/10")) for a, _ in pairs)


def test_the_firewall_names_only_ipv4_networks_and_replaces_its_own_table() -> None:
    text = firewall(NAMES, [ip_network("10.1.0.0/24"), ip_network("fd01::/64")])
    assert "{ 10.1.0.0/24 }" in text
    assert "fd01" not in text
    assert text.index(f"delete table ip {NAMES.table}") < text.index("chain postrouting")
