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


def given_to(
    region: str, node: str, component: str, kernel: bool, *changes: tuple[str, str]
) -> tuple[dict[str, str], str]:
    """What the program of a component gets: its environment and its files."""
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
    templates = TemplateSet.load(catalogue())
    given = {key: templates.string(placed.service, value, context) for key, value in spec.environment.items()}
    return given, "".join(templates.file(placed.service, file.template, context) for file in spec.files)


def kept(*given) -> list[str]:
    return given_to(*given)[1].splitlines()


def test_the_kernel_needs_no_bridge_for_tunnels():
    wanted = "br-ex|1500|10.77.5.11/24|"
    assert kept("box", "n1", "openvswitch-bridges", True) == [wanted]
    tunnel = "br-tun|1500|10.77.3.11/24|"
    assert kept("box", "n1", "openvswitch-bridges", False) == [wanted, tunnel]


def test_a_shared_interface_gives_its_vlan():
    wanted = "br-ex|1500||bond0.105"
    assert kept("half-rack", "node1", "openvswitch-bridges", True) == [wanted]
    tunnel = "br-tun|9000|fd00:78:3::21/64|bond0.103"
    assert kept("half-rack", "node1", "openvswitch-bridges", False) == [wanted, tunnel]


@pytest.mark.parametrize(("node", "options"), [("control1", "enable-chassis-as-gw"), ("node1", "")])
def test_gateways_are_the_nodes_of_the_group_network(node, options):
    given, _ = given_to("half-rack", node, "ovn-controller", True)
    assert given["SCS_CMS_OPTIONS"] == options
    assert given["SCS_BRIDGE_MAPPINGS"] == "physnet1:br-ex"
    assert given["SCS_REMOTE"] == "ssl:10.78.1.11:6642,ssl:10.78.1.12:6642,ssl:10.78.1.13:6642"
    assert given["SCS_DATAPATH"] == "system"


def test_an_interface_may_be_named():
    change = ("services:\n", "services:\n  openvswitch: {settings: {external_nic: eth7}}\n")
    assert kept("box", "n1", "openvswitch-bridges", True, change) == ["br-ex|1500|10.77.5.11/24|eth7"]


def test_without_an_external_network_there_is_no_provider_bridge():
    network = (ROOT / "inventories/box/region.yml").read_text()
    start = network.index("  external:\n")
    change = (network[start : network.index("services:")], "")
    address = ("          external: 10.77.5.11\n", "")
    assert kept("box", "n1", "openvswitch-bridges", True, change, address) == []
