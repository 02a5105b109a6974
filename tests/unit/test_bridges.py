"""Which bridges, interfaces and addresses the switch of a node gets, from what region.yml says of networks and NICs."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from scs_deploy.catalogue.load import load_catalogue
from scs_deploy.region.load import parse_region
from scs_deploy.region.placement import place
from scs_deploy.render.context import Topology, context_for
from scs_deploy.render.templates import TemplateSet

ROOT = Path(__file__).parents[2]


@cache
def catalogue():
    return load_catalogue([ROOT / "roles"])


def script(region: str, node: str, component: str, kernel: bool, *changes: tuple[str, str]) -> str:
    text = (ROOT / "inventories" / region / "region.yml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    model = parse_region(text, ROOT / "inventories" / region, catalogue())
    placement = place(model, catalogue(), {})
    (placed,) = [one for one in placement.of(component) if one.node == node]
    spec = catalogue().component(component)[1]
    facts = {"kernel_features": {"openvswitch": kernel}, "cpu": {"count": 4}, "interfaces": []}
    topology = Topology(model, catalogue(), placement)
    context = context_for(topology, topology.by_name[node], placed, spec, facts)
    return TemplateSet.load(catalogue()).file(placed.service, spec.entry, context)


def kept(*given) -> list[str]:
    return [line.strip() for line in script(*given).splitlines() if line.strip().startswith("keep br-")]


def test_the_kernel_needs_no_bridge_for_tunnels():
    wanted = 'keep br-ex 1500 "10.77.5.11/24" "" || failed=1'
    assert kept("box", "n1", "openvswitch-bridges", True) == [wanted]
    tunnel = 'keep br-tun 1500 "10.77.3.11/24" "" || failed=1'
    assert kept("box", "n1", "openvswitch-bridges", False) == [wanted, tunnel]


def test_a_shared_interface_gives_its_vlan():
    wanted = 'keep br-ex 1500 "" "bond0.105" || failed=1'
    assert kept("half-rack", "node1", "openvswitch-bridges", True) == [wanted]
    tunnel = 'keep br-tun 9000 "fd00:78:3::21/64" "bond0.103" || failed=1'
    assert kept("half-rack", "node1", "openvswitch-bridges", False) == [wanted, tunnel]


@pytest.mark.parametrize(("node", "options"), [("control1", "enable-chassis-as-gw"), ("node1", "")])
def test_gateways_are_the_nodes_of_the_group_network(node, options):
    text = script("half-rack", node, "ovn-controller", True)
    assert f"ovn-cms-options='\"{options}\"'" in text
    assert "ovn-bridge-mappings='\"physnet1:br-ex\"'" in text
    assert "ssl:10.78.1.11:6642,ssl:10.78.1.12:6642,ssl:10.78.1.13:6642" in text
    assert "ovn-bridge-datapath-type=system" in text


def test_an_interface_may_be_named():
    change = ("services:\n", "services:\n  openvswitch: {settings: {external_nic: eth7}}\n")
    assert kept("box", "n1", "openvswitch-bridges", True, change) == [
        'keep br-ex 1500 "10.77.5.11/24" "eth7" || failed=1'
    ]


def test_without_an_external_network_there_is_no_provider_bridge():
    network = (ROOT / "inventories/box/region.yml").read_text()
    start = network.index("  external:\n")
    change = (network[start : network.index("services:")], "")
    address = ("          external: 10.77.5.11\n", "")
    assert kept("box", "n1", "openvswitch-bridges", True, change, address) == []
