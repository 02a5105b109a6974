"""A valid region resolves: node wins over rack, rack over region; what was left out falls back."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from regions import BASE, INVENTORIES, catalogue, changed, parse

from inventories import generate_region
from scs_deploy.catalogue.load import Catalogue, load_catalogue
from scs_deploy.errors import UsageError
from scs_deploy.region.load import find_region, load_region


def test_scalars_and_lists_of_the_narrowest_level_win() -> None:
    region = parse(BASE)
    one, two = region.node("n1"), region.node("n2")
    assert [str(address) for address in one.dns] == ["192.0.2.53", "2001:db8::53"]
    assert [str(address) for address in two.dns] == ["192.0.2.54"]
    assert (one.timezone, two.engine, region.patience) == ("Europe/Berlin", "podman", 1.5)
    assert [disk.use for disk in one.disks] == ["system", "osd"]


def test_mappings_merge_key_by_key() -> None:
    node = parse(BASE).node("n2")
    assert (node.ssh.user, node.ssh.port, node.ssh.become) == ("root", 2200, True)
    nic = node.nics["bond0"]
    assert (nic.mac, nic.mtu, len(nic.networks)) == ("52:54:00:12:34:56", 9000, 4)


def test_a_value_set_to_its_default_still_wins() -> None:
    text = changed(("        ssh: {user: root}", "        ssh: {become: false}"))
    assert parse(text).node("n2").ssh.become is False


def test_services_have_defaults_and_local_settings() -> None:
    region = parse(BASE)
    assert region.services["mariadb"].settings == {
        "connections": 1000,
        "durability": "relaxed",
        "tuning": {"buffer_pool_mb": 512, "log_mb": 128},
    }
    assert region.services["memcached"].settings == {"memory_mb": 256, "threads": 2, "sources": []}
    assert region.node("n4").services["memcached"].settings == {"memory_mb": 256, "threads": 4, "sources": []}
    assert region.node("n1").services is region.node("n3").services


def test_overrides_of_levels_add_up() -> None:
    local = """        services:
          mariadb:
            config:
              /etc/mysql/server.cnf: {options: {mysqld: {max_allowed_packet: null}, client: {port: 3307}}}"""
    region = parse(changed(("        ssh: {user: root}", local)))
    options = region.node("n2").services["mariadb"].config["/etc/mysql/server.cnf"].options
    assert options == {"mysqld": {"max_allowed_packet": None, "plugin-load-add": ["a", "b"]}, "client": {"port": 3307}}
    assert region.node("n1").services["mariadb"].config["/etc/mysql/server.cnf"].kind == "options"


def test_a_target_of_service_yml_may_be_a_template() -> None:
    text = changed(
        (
            "      policy.yaml.j2:\n        merge: {list_users",
            "      /etc/keystone/n1.txt:\n        append: {list_users",
        )
    )
    text = text.replace('append: {list_users: "role:admin"}', "append: hello")
    assert parse(text).services["keystone"].config["/etc/keystone/n1.txt"].append == "hello"


def test_networks() -> None:
    region = parse(BASE)
    assert list(region.networks) == ["api", "public", "tunnel", "storage", "external"]
    assert region.network("migration") is region.networks["api"]
    assert str(region.networks["api"].cidr6) == "fd00:60:1::/64"
    assert IPv4Address("10.60.5.120") in region.networks["external"].ranges[0]
    assert IPv4Address("10.60.5.150") not in region.networks["external"].ranges[0]
    node = region.node("n1")
    assert str(node.addresses["api"].first) == "10.60.1.11"
    assert [str(address) for address in node.addresses["api"]] == ["10.60.1.11", "fd00:60:1::11"]
    assert region.guest_mtu == 1500
    assert parse(changed(("guest_mtu: 1500\n", ""))).guest_mtu == 9000 - 58


def test_places() -> None:
    region = parse(BASE)
    one, three, four = region.node("n1"), region.node("n3"), region.node("n4")
    assert (one.rack, one.fire_zone, one.feeds, one.unit) == ("r1", "A", ("left", "right"), 1)
    assert three.feeds == ("left",)
    assert (four.state, four.height) == ("maintenance", 2)
    assert region.domain_of(one) == "r1"
    for kind, name in (("node", "n1"), ("fire_zone", "A")):
        text = changed((": rack\n", f": {kind}\n"))
        assert parse(text).domain_of(one) == name


def test_the_order_of_keys_means_nothing() -> None:
    data = yaml.safe_load(BASE)
    for rack in data["racks"]:
        for node in rack["nodes"]:
            node["addresses"] = dict(reversed(node["addresses"].items()))
    data["networks"] = dict(reversed(data["networks"].items()))
    other = parse(yaml.safe_dump(data, sort_keys=False))
    for one in parse(BASE).nodes:
        assert list(other.node(one.name).addresses.items()) == list(one.addresses.items())
    assert list(other.networks) == list(parse(BASE).networks)


def test_anchors_and_merge_keys() -> None:
    text = changed(
        ("hardware: {cores: 32, smt: true}", "hardware: &machine {cores: 32, smt: true}"),
        ("        ssh: {user: root}", "        hardware:\n          <<: *machine\n          cores: 64"),
    )
    assert parse(text).node("n2").hardware.cores == 64


@pytest.fixture(scope="module")
def roles() -> Catalogue:
    return load_catalogue([INVENTORIES.parent / "roles"])


@pytest.mark.parametrize(("name", "nodes"), [("box", 1), ("core", 1), ("half-rack", 7)])
def test_inventory_is_valid(name: str, nodes: int, roles: Catalogue) -> None:
    region = load_region(INVENTORIES / name, roles)
    assert (region.name, len(region.nodes), region.release) == (name, nodes, "2025.1")
    assert all("one fire zone" in warning.what for warning in region.warnings)


@pytest.mark.parametrize("name", ["box", "half-rack"])
def test_a_region_that_says_nothing_else_has_every_service(name: str, roles: Catalogue) -> None:
    region = load_region(INVENTORIES / name, roles)
    assert [name for name in roles.services if not region.services[name].enabled] == []


def test_only_members_that_vote_are_warned_of_as_a_quorum(roles: Catalogue) -> None:
    """Managers and northd stand by for each other: the last one does all the work."""
    told = " ".join(warning.what for warning in load_region(INVENTORIES / "half-rack", roles).warnings)
    assert "quorum of ceph-mon" in told
    assert "ceph-mgr" not in told
    assert "ovn-northd" not in told


def test_300_nodes_load(tmp_path: Path) -> None:
    region = load_region(generate_region.write(tmp_path / "region").parent, catalogue())
    assert len(region.nodes) == 300
    assert region.warnings == ()


def test_find_region(tmp_path: Path) -> None:
    for name in ("box", "half-rack"):
        (tmp_path / name).mkdir()
    (tmp_path / "box/region.yml").touch()
    assert find_region(None, [tmp_path]) == tmp_path / "box"
    (tmp_path / "half-rack/region.yml").touch()
    assert find_region("box", [tmp_path]) == tmp_path / "box"
    assert find_region(str(tmp_path / "box"), []) == tmp_path / "box"
    assert find_region(str(tmp_path / "box/region.yml"), []) == tmp_path / "box"
    with pytest.raises(UsageError, match="several regions"):
        find_region(None, [tmp_path])
    with pytest.raises(UsageError) as raised:
        find_region("half-rac", [tmp_path])
    assert raised.value.fix == "did you mean half-rack?"
    with pytest.raises(UsageError, match="there is no region"):
        find_region(None, [])


def test_a_mirror_with_a_slash_is_the_one_without() -> None:
    (one, *_) = parse(changed(("http://deb.debian.org/debian", "http://mirror.example/debian//"))).nodes
    assert (one.mirror, one.security_mirror) == (
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    )
