"""A machine moves alive from node to node over the network that is there for it: two nodes with libvirt and nothing else of a cloud."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest

from proofs.deployment import CORE, Cloud, core_only, deploy, remove, until, write_region
from scs_deploy.machine.paths import state_dir

SERVICES = {"node", "keepalived", "haproxy"}
MIGRATION = {"n1": "10.73.6.11", "n2": "10.73.6.12"}
MACHINE = """
<domain type="qemu"><name>wanderer</name><memory unit="MiB">32</memory><os><type arch="x86_64">hvm</type></os>
<devices><serial type="pty"><log file="/var/lib/nova/wanderer.log"/></serial></devices></domain>
"""


def two_nodes(data: dict[str, Any]) -> None:
    off = {name: {"enabled": False} for name in CORE - SERVICES}
    libvirt = {"enabled": True, "settings": {"allow_tcg": True}}
    data["services"] = core_only(**off, libvirt=libvirt)
    data["networks"] = {name: data["networks"][name] for name in ("api", "public")} | {
        "migration": {"cidr": "10.73.6.0/24", "vip": "10.73.6.10"}
    }
    data["racks"][0]["nodes"] = [
        {
            "name": name,
            "groups": ["control", "compute"] if name == "n1" else ["compute"],
            "addresses": {
                "api": address.replace(".6.", ".1."),
                "public": address.replace(".6.", ".2."),
                "migration": address,
            },
        }
        for name, address in MIGRATION.items()
    ]


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Cloud, Cloud]]:
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: not run as root")
    cloud = Cloud(write_region(state_dir().parent / f"{state_dir().name}-regions" / "migration", "migration", 73))
    cloud.edit(two_nodes)
    deploy(cloud)
    yield cloud, Cloud(cloud.folder, "n2")
    remove(cloud)


def virsh(node: Cloud, command: str, stdin: str = "") -> str:
    return node.on_node(f"podman exec -i libvirt virsh --quiet {command}", stdin)


def states(node: Cloud) -> str:
    return virsh(node, "list --all")


def listeners(node: Cloud) -> set[str]:
    found = node.on_node("ss -Hltn 'sport = :16514'")
    return {line.split()[3].rpartition(":")[0] for line in found.splitlines()}


def test_libvirt_is_there_for_other_nodes_on_the_network_migration_alone(nodes: tuple[Cloud, Cloud]) -> None:
    for node in nodes:
        assert listeners(node) == {MIGRATION[node.node]}
        rules = node.on_node("nft list chain inet scs_deploy input")
        mine = [line.strip() for line in rules.splitlines() if 'comment "libvirt' in line]
        assert {line.partition('comment "')[2].rstrip('"') for line in mine} >= {"libvirt", "libvirt-migration"}
        for line in mine:
            network = 1 if "libvirt-vnc" in line else 6
            said, _, _ = line.partition(" ip daddr ")
            assert set(re.findall(r"10[.]73[.](\d)[.]", said)) == {str(network)}, line
            assert ("/24" in said) == ("libvirt-vnc" not in line), "control nodes look at screens"


def test_a_machine_moves_there_and_back(nodes: tuple[Cloud, Cloud]) -> None:
    virsh(nodes[0], "define /dev/stdin", MACHINE)
    virsh(nodes[0], "start wanderer")
    for source, target in (nodes, nodes[::-1]):
        # As Nova asks for it; where the data goes libvirt of the target says.
        flags = "--live --p2p --undefinesource --persistent --tls --auto-converge"
        virsh(source, f"migrate {flags} wanderer qemu+tls://{MIGRATION[target.node]}/system")
        until(lambda node=target: "running" in states(node), "the machine runs on the target", 20)  # type: ignore[misc]
        assert "wanderer" not in states(source)
    virsh(nodes[0], "destroy wanderer")
    virsh(nodes[0], "undefine wanderer")


def test_all_virtual_addresses_are_held_and_their_ids_differ(nodes: tuple[Cloud, Cloud]) -> None:
    held = until(
        lambda: (
            [ip for ip in ("10.73.1.10", "10.73.2.10", "10.73.6.10") if ip in nodes[0].on_node("ip -o address")]
            == ["10.73.1.10", "10.73.2.10", "10.73.6.10"]
        ),
        "the node holds its virtual addresses",
    )
    assert held
    said = nodes[0].on_node("cat /etc/scs-deploy/keepalived/etc/scs-keepalived/keepalived.conf")
    ids = [line.split()[1] for line in said.splitlines() if "virtual_router_id" in line]
    assert len(set(ids)) == len(ids) == 3
