"""What the networks of region.yml come to on nodes, with the roles of this repository: VRRP IDs, addresses, firewall."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest
import real

from scs_deploy.errors import InputError

FIREWALL = "/etc/scs-firewall.nft"
ROLES = ("api", "public", "tunnel", "storage", "migration", "external")


def box() -> dict:
    return real.data("box")


def router_ids(data: dict, **given) -> dict[str, int]:
    text = real.text(
        real.desired(real.region(real.only(data, "node", "haproxy", "keepalived")), **given), "/keepalived.conf"
    )
    return {
        name: int(number)
        for name, number in re.findall(
            r"vrrp_instance (\w+) \{.*?virtual_router_id (\d+)$", text, re.DOTALL | re.MULTILINE
        )
    }


def with_vips(*names: str) -> dict:
    """Box with two VIPs in each of these networks, all with the same last part."""
    data = box()
    for number, name in enumerate(ROLES, 1):
        network = data["networks"].setdefault(name, {"cidr": f"10.77.{number + 5}.0/24"})
        addresses = data["racks"][0]["nodes"][0]["addresses"]
        addresses.setdefault(name, f"10.77.{number + 5}.11")
        network.pop("vip", None)
        if name in names:
            network["vip"] = network["cidr"].replace(".0/24", ".10")
            network |= {"cidr6": f"fd00:77:{number}::/64", "vip6": f"fd00:77:{number}::10"}
            addresses[name] = [addresses[name], f"fd00:77:{number}::11"]
    return data


def test_vips_that_look_alike_on_one_nic_have_ids_of_their_own():
    on_one = dict.fromkeys(ROLES, "eth0")
    data = box()
    ids = router_ids(data, nic_of=on_one)
    assert set(ids) == {"api", "public"}
    assert len(set(ids.values())) == 2


@pytest.mark.parametrize("offset", [0, 1, 100, 254])
def test_all_networks_and_both_families_have_ids_of_their_own(offset):
    data = with_vips(*ROLES)
    data["services"]["keepalived"] = {"settings": {"router_id_offset": offset}}
    ids = router_ids(data)
    assert len(ids) == len(set(ids.values())) == 12
    assert all(1 <= one <= 255 for one in ids.values())


def test_an_id_stays_when_other_networks_come_and_go():
    everything = router_ids(with_vips(*ROLES))
    for left_out in ROLES[2:]:
        fewer = router_ids(with_vips(*(name for name in ROLES if name != left_out)))
        assert fewer == {name: one for name, one in everything.items() if name.removesuffix("6") != left_out}


def test_ids_stay_from_release_to_release():
    """They are in running regions: another number here takes the addresses away for a moment."""
    assert router_ids(box()) == {"api": 9, "public": 40}


def test_members_reach_each_other_in_the_family_of_the_address():
    """Multicast of the other family comes from link-local addresses, which no firewall rule names: all would hold the VIP."""
    region = real.region(real.only(real.data("half-rack"), "node", "haproxy", "keepalived"))
    text = real.text(real.desired(region), "/keepalived.conf", node="control1")
    found = dict(re.findall(r"vrrp_instance (\w+) \{.*?unicast_src_ip (\S+)$", text, re.DOTALL | re.MULTILINE))
    peers = dict(re.findall(r"vrrp_instance (\w+) \{.*?unicast_peer \{(.*?)\}", text, re.DOTALL))
    assert found == {
        "api": "10.78.1.11",
        "api6": "fd00:78:1::11",
        "public": "198.51.100.11",
        "public6": "2001:db8:78:2::11",
    }
    assert peers["api6"].split() == ["fd00:78:1::12", "fd00:78:1::13"]
    assert peers["public"].split() == ["198.51.100.12", "198.51.100.13"]


def test_regions_that_share_a_wire_differ():
    data = box()
    data["networks"]["api"]["vip"] = "10.77.1.12"
    assert router_ids(data)["api"] != router_ids(box())["api"]


def on_every_network(*left_out: str) -> dict:
    data = with_vips("api", "public")
    for name in left_out:
        del data["networks"][name], data["racks"][0]["nodes"][0]["addresses"][name]
    return data


def test_a_certificate_names_the_virtual_addresses_behind_which_its_ports_are():
    found = real.desired(real.region(box())).certificates
    vips = {name: set(one.ip_addresses) & {"10.77.1.10", "10.77.2.10"} for (_, name), one in found.items()}
    named = {name: addresses for name, addresses in vips.items() if addresses}
    assert named == {"haproxy": {"10.77.1.10", "10.77.2.10"}, "mariadb": {"10.77.1.10"}}


def test_ssh_and_published_ports_are_open_on_one_address_each():
    data = box()
    firewall = real.text(real.desired(real.region(data)), FIREWALL)
    assert re.findall(r"(.*)tcp dport 22 accept", firewall) == [
        "        ip saddr { 10.77.1.0/24 } ip daddr 10.77.1.11 "
    ]
    assert not [
        line
        for line in firewall.splitlines()
        if " dport " in line and "daddr" not in line and "udp sport 67" not in line and "546" not in line
    ]
    data["services"]["node"] = {"settings": {"ssh_sources": ["192.0.2.0/24"], "router_advertisements": ["api"]}}
    firewall = real.text(real.desired(real.region(data)), FIREWALL)
    assert accepted(firewall, "ssh") == {"192.0.2.0/24"}
    assert firewall.index('iifname "api" icmpv6 type nd-router-advert accept') < firewall.index("nd-router-advert drop")


def test_nodes_reach_what_their_groups_need():
    """Of a region with nodes of several kinds: a compute node holds nothing that opens databases."""
    region = real.region(real.data("half-rack"))
    control = {"10.78.1.11", "10.78.1.12/31", "fd00:78:1::11", "fd00:78:1::12/127"}  # of three nodes: .11, .12, .13
    firewall = real.text(real.desired(region), FIREWALL, node="control1")
    for port in ("mariadb-galera", "mariadb-check", "ovn-nb", "rabbitmq-epmd", "keystone-of-members"):
        name = port.removesuffix("-of-members")
        here = "\n".join(
            line for line in firewall.splitlines() if " daddr 10.78.1.11 " in line or " daddr fd00:78:1::11 " in line
        )
        assert accepted(here, name) == control, port
    rules = [line for line in firewall.splitlines() if 'comment "mariadb"' in line]
    assert {one for line in rules for one in accepted(line, "mariadb")} == control, "at the VIP too"
    network = {"10.78.1.0/24", "fd00:78:1::/64"}
    assert accepted(firewall, "rabbitmq") == network, "compute nodes are many, and come and go"
    assert accepted(firewall, "keystone") > network, "at the VIP"


@pytest.mark.parametrize(
    ("said", "opened"), [(["10.0.0.0/8", "10.1.0.0/16"], {"10.0.0.0/8"}), (["192.0.2.7/32"], {"192.0.2.7"})]
)
def test_networks_that_overlap_are_one(said, opened):
    """A set of nftables that holds an address twice is refused."""
    data = box()
    data["services"]["node"] = {"settings": {"ssh_sources": said}}
    assert accepted(real.text(real.desired(real.region(data)), FIREWALL), "ssh") == opened


def test_the_user_of_guests_reaches_storage_and_other_hypervisors_alone():
    firewall = real.text(real.desired(real.region(real.data("half-rack"))), FIREWALL, node="node1")
    chain = firewall[firewall.index("chain output") :].partition("}\n    chain")[0]
    rules = [line.strip().removeprefix("meta skuid 64055 ") for line in chain.splitlines() if "skuid" in line]
    assert all(line.startswith(("ct state", "ip", "limit", "reject")) for line in rules)
    assert set(re.findall(r'comment "(.*)"', chain)) == {"ceph-mon", "ceph-mgr", "ceph-osd", "libvirt-migration"}
    assert rules[-1] == "reject"
    assert "chain output" not in real.text(real.desired(real.region(real.data("half-rack"))), FIREWALL, node="control1")


def test_who_claims_a_network_of_the_region_comes_in_by_it_or_reaches_what_is_published_alone():
    firewall = real.text(real.desired(real.region(box())), FIREWALL)
    assert set(re.findall(r"saddr (\S+) fib saddr . iif oif missing drop", firewall)) == {
        f"10.77.{n}.0/24" for n in (1, 2, 3, 4, 5)
    }
    before = firewall[: firewall.index(" fib ")]
    assert set(re.findall(r"daddr (\S+)", before)) == {"10.77.2.10"}, (
        "servers come from the external one, by whichever router"
    )
    assert "10.77.2.10" not in firewall[firewall.rindex(" fib ") :]


@pytest.mark.parametrize(("sysctl", "policy"), [({}, "drop"), ({"net.ipv4.ip_forward": 1}, "accept")])
def test_only_a_node_that_is_said_to_be_a_router_forwards(sysctl, policy):
    data = box()
    data["services"]["node"] = {"settings": {"sysctl": sysctl}}
    firewall = real.text(real.desired(real.region(data)), FIREWALL)
    assert f"type filter hook forward priority filter; policy {policy};" in firewall


def accepted(firewall: str, port: str) -> set[str]:
    """Who the firewall lets in to a port."""
    found = re.findall(rf'saddr {{ (.*?) }} .*accept comment "{port}"', firewall)
    return {one for names in found for one in names.split(", ")}


@pytest.mark.parametrize(
    ("left_out", "address", "cidrs"),
    [
        ((), "10.77.10.11", {"10.77.10.0/24"}),
        (("migration",), "10.77.1.11", {"10.77.1.0/24", "fd00:77:1::/64"}),
    ],
)
def test_live_migration_uses_its_network_and_else_api(left_out, address, cidrs):
    found = real.desired(real.region(on_every_network(*left_out)))
    assert f'listen_addr = "{address}"' in real.text(found, "/libvirtd.conf")
    assert f'migration_address = "{address}"' in real.text(found, "/qemu.conf")
    assert f'migration_host = "{address}"' in real.text(found, "/qemu.conf")
    nova = real.text(found, "/nova.conf", "nova-compute")
    assert f"live_migration_inbound_addr = {address}" in nova
    assert "live_migration_permit_post_copy = false" in nova
    firewall = real.text(found, FIREWALL)
    assert accepted(firewall, "libvirt") == accepted(firewall, "libvirt-migration") == cidrs
    assert address in found.certificates["n1", "libvirt"].ip_addresses
    assert {address, "10.77.1.11"} == set(found.certificates["n1", "libvirt-qemu"].ip_addresses), (
        "consoles, and machines that come"
    )
    (allowed,) = re.findall(r'tls_allowed_dn_list = \["(.*)"\]', real.text(found, "/libvirtd.conf"))
    held = {name: f"CN={one.common_name}" for (_, name), one in found.certificates.items()}
    assert {name for name, subject in held.items() if fnmatch(subject, allowed)} == {"libvirt"}
    assert 'tls_allowed_dn_list = ["CN=libvirt.*"]' in real.text(found, "/libvirtd.conf"), "not what QEMU holds"


def test_networks_that_are_left_out_fall_back_to_api():
    """Who listens there is reached there: by the firewall, the balancer and the names of endpoints."""
    data = on_every_network("public", "tunnel", "storage", "migration")
    found = real.desired(real.region(data))
    firewall, balancer = real.text(found, FIREWALL), real.text(found, "/haproxy.cfg")
    for port in ("ceph-osd", "geneve", "libvirt"):
        assert accepted(firewall, port) == {"10.77.1.0/24", "fd00:77:1::/64"}, port
    assert '{ 0.0.0.0/0 } ip daddr 10.77.1.10 tcp dport 443 accept comment "horizon"' in firewall
    horizon = balancer.partition("frontend horizon")[2].partition("frontend")[0]
    assert "bind 10.77.1.10:443 " in horizon
    assert "bind [fd00:77:1::10]:443 " in horizon
    public = {
        item.attrs["url"] for item in found.items if item.kind == "endpoint" and item.attrs["interface"] == "public"
    }
    assert {url.split("/")[2].partition(":")[0] for url in public} == {"api-int.box.test"}


@pytest.mark.parametrize(
    ("known", "said", "told"),
    [
        ([], {}, "0.0.0.0,::"),
        (["192.0.2.53", "2001:db8::53"], {}, "192.0.2.53,2001:db8::53"),
        (["192.0.2.53"], {"dns": ["2001:db8::54"]}, "0.0.0.0,2001:db8::54"),
        (["192.0.2.53"], {"services": {"neutron": {"settings": {"dns_servers": ["192.0.2.54"]}}}}, "192.0.2.54,::"),
    ],
)
def test_servers_are_told_resolvers_or_that_there_are_none(known, said, told):
    """What has no value of its own Neutron reads from the node's resolv.conf, loopback addresses and all."""
    data = box()
    data["services"] |= said.pop("services", {})
    found = real.desired(real.region(data | said), resolvers=known)
    assert f"\ndns_servers = {told}\n" in real.text(found, "/ml2_conf.ini", "neutron-api")


@pytest.mark.parametrize("address", ["127.0.0.53", "::1", "fe80::1", "169.254.169.253", "0.0.0.0", "::", "0:0:0:0:0:0:0:1", "8.8.8.8x"])  # fmt: skip # noqa: S104
def test_a_resolver_that_servers_do_not_reach_is_refused(address):
    for said in ({"dns": [address]}, {"services": {"neutron": {"settings": {"dns_servers": [address]}}}}):
        with pytest.raises(InputError) as raised:
            real.region(box() | said)
        (finding,) = raised.value.findings
        assert finding.path in ("dns[0]", "services.neutron.settings.dns_servers[0]")
        assert finding.fix


def test_resolvers_are_taken_as_they_are():
    for address in ("192.0.2.53", "2001:db8::53", "fd00::1:53"):
        real.region(box() | {"dns": [address], "services": {"neutron": {"settings": {"dns_servers": [address]}}}})


@pytest.mark.parametrize("server", ["127.0.0.1", "localhost", "::1"])
def test_a_node_is_not_its_own_time_server(server):
    with pytest.raises(InputError) as raised:
        real.region(box() | {"ntp": [server]})
    assert server in raised.value.findings[0].what
