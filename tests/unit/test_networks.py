"""What the networks of region.yml come to on nodes, with the roles of this repository: VRRP IDs, addresses, firewall."""

from __future__ import annotations

import re

import pytest
import real

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


def test_regions_that_share_a_wire_differ():
    data = box()
    data["networks"]["api"]["vip"] = "10.77.1.12"
    assert router_ids(data)["api"] != router_ids(box())["api"]
