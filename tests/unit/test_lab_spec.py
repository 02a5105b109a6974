"""A lab spec from a region: who gets which address, and which one this machine takes."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scs_deploy.errors import InputError
from scs_deploy.lab.spec import DiskSpec, LabSpec, host_address
from scs_deploy.region.host import Disk
from scs_deploy.region.network import Addresses, AddressRange, Network


def network(name: str, **given: Any) -> Network:
    values: dict[str, Any] = dict.fromkeys(("cidr", "cidr6", "vlan", "vip", "vip6", "gateway", "gateway6"))
    return Network(name=name, **{**values, "mtu": 1500, "ranges": (), **given})  # type: ignore[arg-type]


def region(networks: list[Network], nodes: dict[str, dict[str, Addresses]], disks: tuple[Disk, ...] = ()) -> Any:
    made = [
        SimpleNamespace(name=name, addresses=addresses, disks=disks, mirror="http://m.test/debian")
        for name, addresses in nodes.items()
    ]
    return SimpleNamespace(
        name="r", folder=Path("/r"), release="2025.1", networks={n.name: n for n in networks}, nodes=tuple(made)
    )


def test_nodes_get_their_addresses_with_prefix_in_both_families() -> None:
    api = network("api", cidr=ip_network("10.1.0.0/24"), cidr6=ip_network("fd01::/64"), mtu=9000)
    nodes = {"n1": {"api": Addresses(ip_address("10.1.0.11"), ip_address("fd01::11"))}, "n2": {}}  # type: ignore[arg-type]
    spec = LabSpec.from_region(region([api], nodes))  # type: ignore[arg-type]
    assert spec.node("n1").addresses["api"] == (ip_interface("10.1.0.11/24"), ip_interface("fd01::11/64"))
    assert spec.node("n2").addresses["api"] == ()
    assert spec.networks[0].mtu == 9000
    assert (spec.release, spec.mirror) == ("2025.1", "http://m.test/debian")


def test_this_machine_is_the_gateway_or_avoids_vips_nodes_and_ranges() -> None:
    vip, node = ip_address("10.1.0.254"), ip_address("10.1.0.253")
    ranges = (AddressRange(ip_address("10.1.0.100"), ip_address("10.1.0.252")),)
    free = network("api", cidr=ip_network("10.1.0.0/24"), vip=vip, ranges=ranges)
    routed = network("public", cidr=ip_network("10.2.0.0/24"), gateway=ip_address("10.2.0.7"))
    spec = LabSpec.from_region(region([free, routed], {"n1": {"api": Addresses(node)}}))  # type: ignore[dict-item, arg-type]
    assert spec.networks[0].host == (ip_interface("10.1.0.99/24"),)
    assert spec.networks[1].host == (ip_interface("10.2.0.7/24"),)


def test_huge_ranges_are_skipped_at_once_and_a_full_network_is_an_error() -> None:
    cidr = ip_network("fd01::/64")
    everything = AddressRange(cidr[0], cidr[-1])
    with pytest.raises(InputError, match="no free address"):
        host_address("api", cidr, (), (), (everything,))
    most = AddressRange(cidr[2], cidr[-1])
    assert host_address("api", cidr, (), (), (most,)) == ip_interface("fd01::1/64")


def test_disks_without_path_or_of_the_system_are_not_made() -> None:
    disks = (
        Disk(path="/dev/sda", use="system", size_gb=1),
        Disk(serial="x", use="osd", size_gb=1),
        Disk(path="/dev/scs-disk0", use="osd", size_gb=3),
    )
    api = network("api", cidr=ip_network("10.1.0.0/24"))
    spec = LabSpec.from_region(region([api], {"n1": {}}, disks))
    assert spec.node("n1").disks == (DiskSpec("/dev/scs-disk0", 3072),)


def test_unknown_node_names_the_known_ones() -> None:
    spec = LabSpec.of("t", "/x", {"api": "10.1.0.1/24"}, {"n1": {}, "n2": {}})
    with pytest.raises(InputError, match="n1, n2"):
        spec.node("n3")
