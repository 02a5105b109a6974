"""The baseline of a node as the real role renders it: what other programs of the machine must not undo."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import real

from proofs.world import World, facts

ROLES = Path(__file__).parents[2] / "roles"
REGION = """
format: 1
name: base
release: "2025.1"
engine: {engine}
domain: base.test
dns: [192.0.2.53]
ssh: {{user: root, host_keys: known_hosts}}
networks:
  api: {{cidr: 10.60.1.0/24, vip: 10.60.1.10}}
services: {services}
racks:
  - name: r1
    nodes:
      - {{name: n1, groups: [control], addresses: {{api: 10.60.1.11}}}}
"""


def world(engine: str = "podman", **node: object) -> World:
    others = {path.name: {"enabled": False} for path in ROLES.iterdir() if path.name != "node"}
    text = REGION.format(engine=engine, services=json.dumps({**others, "node": {"settings": node}}))
    told = facts("10.60.1.11") | {
        "os": {"codename": "trixie"},
        "clock_settable": True,
        "limits": {"nofile": -1, "nproc": -1},
    }
    return replace(World(text=text, roles=(ROLES,)), lock={}, secrets={}, facts_of={"n1": told})


def test_cloud_init_makes_of_its_template_what_we_wrote() -> None:
    header, _, body = world().file("n1/node-hosts", "hosts.debian.tmpl").text.partition("\n")
    assert header == "## template: basic"
    assert body == world().file("n1/node-hosts", "/etc/hosts").text


def test_a_machine_keeps_its_name_where_that_is_said() -> None:
    assert world().file("n1/node-hostname", "/etc/hostname").text == "n1\n"
    kept = world(hostname="keep")
    assert "node-hostname" not in {one.name for one in kept.desired.instances["n1"]}


def test_no_engine_makes_a_router_or_passes_proxies_on() -> None:
    assert json.loads(world("docker").file("n1/engine-docker-settings", "daemon.json").text)["ip-forward"] is False
    assert "http_proxy = false" in world().file("n1/engine-podman", "50-scs-deploy.conf").text
    lines = world().file("n1/node-sysctl", "60-scs-deploy.conf").text.splitlines()
    settings = [line.partition(" = ")[0] for line in lines if not line.startswith("#")]
    assert settings[0] == "net.ipv4.ip_forward", "its change resets others, so it comes before them"


@pytest.mark.parametrize("router", [{}, {"net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}])
def test_a_setting_that_the_region_changes_is_looked_for_as_it_was_set_last(tmp_path: Path, router: dict) -> None:
    def look() -> str:
        return subprocess.run(["awk", "-f", tmp_path / "check"], capture_output=True, text=True, check=False).stdout

    known = world(sysctl={**router, "net.ipv4.tcp_rmem": "4096  131072 6291456"})
    said = dict[str, str]()
    for name in ("59-scs-deploy-optional.conf", "60-scs-deploy.conf"):
        text = known.file("n1/node-sysctl", name).text
        (tmp_path / name).write_text(text)
        said |= (line.split(" = ") for line in text.splitlines() if not line.startswith("#"))
    for name, value in said.items():
        file = tmp_path / "proc" / name.replace("*", "api").replace(".", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\t".join(value.split()) + "\n")
    script = known.file("n1/node-sysctl", "scs-sysctl-check").text
    for there, own in (("/etc/sysctl.d", tmp_path), ("/proc/sys", tmp_path / "proc")):
        script = script.replace(f'"{there}/', f'"{own}/')
    (tmp_path / "check").write_text(script)
    assert look() == ""
    forward, wanted = tmp_path / "proc/net/ipv4/ip_forward", router.get("net.ipv4.ip_forward", 0)
    forward.write_text(f"{1 - wanted}\n")
    assert look() == f"net.ipv4.ip_forward is {1 - wanted}, not {wanted}\n"
    forward.unlink()
    assert look() == ""
    redirects = tmp_path / "proc/net/ipv4/conf/api/accept_redirects"
    redirects.write_text("1\n")
    assert look() == "net.ipv4.conf.api.accept_redirects is 1, not 0\n"


def test_a_node_that_is_the_jump_host_of_others_is_refused_unless_it_passes_connections_on() -> None:
    data = real.data("half-rack")
    data["ssh"] = {**data.get("ssh", {}), "jump": "root@10.78.1.11:22"}
    refused = {
        node: [one.what for one in part.unfit]
        for node, parts in real.desired(real.region(data)).instances.items()
        for part in parts
        if part.unfit
    }
    assert refused == {"control1": ["control1 is the jump host of others, and sshd would pass nothing on"]}
    data["racks"][0]["nodes"][0]["services"] = {"node": {"settings": {"ssh_forwarding": True}}}
    found = real.desired(real.region(data))
    assert not [part for parts in found.instances.values() for part in parts if part.unfit]
    assert "AllowTcpForwarding yes" in real.text(found, "/00-scs-deploy.conf", node="control1")
    assert "AllowTcpForwarding no" in real.text(found, "/00-scs-deploy.conf", node="control2")


@pytest.mark.parametrize(
    "file", ["conf.d/60-scs-deploy.conf", "dhclient-enter-hooks.d/scs-deploy", "dhcpcd.enter-hook"]
)
def test_dhcp_clients_leave_the_resolvers_alone(file: str) -> None:
    assert "kept by scs-deploy" in world().file("n1/node-dns", file).text
