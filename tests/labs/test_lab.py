"""A lab on this machine: up, repair after each kind of damage, reboot, side by side, and nothing left after down."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scs_deploy.lab import DiskSpec, Lab, LabSpec, container, host
from scs_deploy.lab.image import ensure
from scs_deploy.machine import engine

SPEC = LabSpec.of(
    "itest",
    "/scs-integration-test",
    {"api": ["10.213.141.1/24", "fd00:213:141::1/64"], "tunnel": "10.213.142.1/24"},
    {
        "n1": {"api": ["10.213.141.11/24", "fd00:213:141::11/64"], "tunnel": "10.213.142.11/24"},
        "n2": {"api": ["10.213.141.12/24", "fd00:213:141::12/64"], "tunnel": "10.213.142.12/24"},
    },
    mtu=1400,
)
DISKS = (DiskSpec("/dev/scs-disk0", 64),)
SPEC = dataclasses.replace(SPEC, nodes=(dataclasses.replace(SPEC.nodes[0], disks=DISKS, disk_mb=256), SPEC.nodes[1]))

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root: not run as root")


def traces(lab: Lab) -> dict[str, list[str]]:
    """What the machine holds that could be ours; other labs may come and go meanwhile."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    ours = (lab.names.id, str(lab.files.folder))
    names = engine.podman(["ps", "--all", "--format", "{{.Names}} {{.ID}}"]).stdout.splitlines()
    return {
        "links": [name for name in host.links() if name.startswith(lab.names.prefix)],
        "loops": [str(f) for f in host.loop_devices() if f.is_relative_to(lab.files.folder)],
        "mounts": [m for m in mounts if any(f"/{word}/" in m or m.startswith(word) for word in ours)],
        "rules": [line for line in rules.splitlines() if lab.names.id in line],
        "containers": [name for name in names if name.startswith(f"scs-{lab.names.id}-")],
        "files": [str(p) for p in (lab.files.folder, lab.files.lock, lab.names.run) if p.exists()],
    }


def volumes() -> set[str]:
    return set(engine.podman(["volume", "ls", "--quiet"]).stdout.split())


def output(lab: Lab, node: str, command: str) -> str:
    done = lab.run(node, [command])
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def states(lab: Lab) -> list[str]:
    return [node.state for node in lab.status()]


def healthy(lab: Lab) -> None:
    assert states(lab) == ["running", "running"]
    for address in ("10.213.141.12", "10.213.142.12", "fd00:213:141::12"):
        output(lab, "n1", f"ping -c1 -W2 {address}")
    assert output(lab, "n2", "systemctl is-system-running") == "running"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    made = Lab(SPEC)
    made.down()
    made.up(print)
    yield made
    made.down()


def test_nodes_reach_each_other_on_each_network_and_nobody_else_holds_their_names(lab: Lab) -> None:
    healthy(lab)
    assert output(lab, "n1", "hostname") == "n1"
    assert "mtu 1400" in output(lab, "n1", "ip link show tunnel")
    assert output(lab, "n1", "ping -c1 -W2 -M do -s 1372 10.213.142.12")
    assert "via 10.213.141.1 dev api" in output(lab, "n1", "ip route show default")
    assert output(lab, "n1", "cat /etc/machine-id") != output(lab, "n2", "cat /etc/machine-id")


def test_a_node_cannot_reach_the_hosts_kernel(lab: Lab) -> None:
    assert lab.run("n1", ["sysctl -w vm.swappiness=61"]).returncode != 0
    assert lab.run("n1", ["date -s now"]).returncode != 0
    assert output(lab, "n1", "find /dev -type b").split() == ["/dev/scs-disk0", "/dev/scs-node"]
    assert output(lab, "n1", "sysctl -n -w net.ipv4.ip_forward=1") == "1"
    assert lab.run("n1", ["touch /var/lib/scs-lab/images/x"]).returncode != 0
    assert output(lab, "n1", "systemctl is-enabled docker.service || true") == "disabled"


def test_up_again_starts_nothing(lab: Lab) -> None:
    before = [output(lab, node, "cat /proc/sys/kernel/random/boot_id") for node in ("n1", "n2")]
    lab.up()
    assert [output(lab, node, "cat /proc/sys/kernel/random/boot_id") for node in ("n1", "n2")] == before


def test_host_keys_are_verified(lab: Lab) -> None:
    text = lab.files.known_hosts.read_text()
    lines = text.splitlines()
    try:
        keys = [line.split(" ", 1)[1] for line in lines]
        lab.files.known_hosts.write_text(
            "".join(f"{h.split()[0]} {k}\n" for h, k in zip(lines, keys[::-1], strict=True))
        )
        assert lab.run("n1", ["true"]).returncode == 255
    finally:
        lab.files.known_hosts.write_text(text)
    assert lab.run("n1", ["true"]).returncode == 0


def test_an_image_of_this_machine_runs_inside_without_a_copy(lab: Lab) -> None:
    image = ensure("", print)
    ran = output(lab, "n1", f"podman run --rm --network host --pids-limit 0 {image} cat /etc/debian_version")
    assert ran == output(lab, "n1", "cat /etc/debian_version")
    assert int(output(lab, "n1", "du -sm /var/lib/containers").split()[0]) < 50


def test_a_full_disk_stays_in_its_node(lab: Lab) -> None:
    assert lab.run("n1", ["dd if=/dev/zero of=/var/lib/scs-deploy/fill bs=1M"]).returncode != 0
    assert int(output(lab, "n1", "df --output=avail -k /var/lib/containers | tail -1")) < 2048
    output(lab, "n1", "rm /var/lib/scs-deploy/fill")


def test_packages_can_be_installed(lab: Lab) -> None:
    output(lab, "n2", "apt-get -q update && apt-get -qy --no-install-recommends install tree && tree --version")


def test_a_reboot_keeps_nics_and_data_clears_the_rest_and_starts_enabled_units(lab: Lab) -> None:
    unit = "[Service]\\nExecStart=/bin/sleep inf\\n[Install]\\nWantedBy=multi-user.target\\n"
    output(
        lab, "n1", f"printf '{unit}' >/etc/systemd/system/mine.service; systemctl enable --now mine; touch /root/kept"
    )
    output(lab, "n1", "ip link add stray type veth peer name stray2; ip address add 10.213.141.99/32 dev api")
    output(
        lab, "n1", "nft add table inet stray; echo x >/run/stray; dd if=/etc/hostname of=/dev/scs-disk0 conv=notrunc"
    )
    nics = output(lab, "n1", "ip -o link show api")
    lab.reboot("n1")
    healthy(lab)
    assert output(lab, "n1", "ip -o link show api") == nics
    assert (
        output(lab, "n1", "systemctl is-active mine; ls /root/kept; head -c2 /dev/scs-disk0")
        == "active\n/root/kept\nn1"
    )
    assert "10.213.141.99" not in output(lab, "n1", "ip address show api")
    assert output(lab, "n1", "ip link show stray 2>/dev/null; nft list tables; ls /run/stray 2>/dev/null; true") == ""


def monitor(there: container.NodeContainer) -> str:
    return engine.podman(["inspect", "--format", "{{.State.ConmonPid}}", there.name]).stdout.strip()


@pytest.mark.parametrize(
    "damage",
    ["first-process", "monitor-too", "monitor-and-namespace", "stop", "bridge", "cable", "namespace", "container"],
)
def test_up_repairs(lab: Lab, damage: str) -> None:
    there = container.listed(lab.names)["n2"]
    commands = {
        "first-process": [f"kill -9 {there.pid}"],
        "monitor-too": [f"kill -9 {monitor(there)}", f"kill -9 {there.pid}"],
        "monitor-and-namespace": [f"kill -9 {monitor(there)}", f"umount --lazy {lab.names.namespace('n2')}"],
        "bridge": [f"ip link delete {lab.names.bridge('api')}"],
        "cable": [f"ip link delete {lab.names.link('n2', 'tunnel')}"],
        "namespace": [f"umount --lazy {lab.names.namespace('n2')}"],
    }
    for command in commands.get(damage, []):
        host.run(command.split())
    if damage == "stop":
        engine.podman(["stop", "--time", "5", there.name])
    if damage == "container":
        engine.podman(["rm", "--force", "--volumes", there.name])
    assert states(lab)[1] != "running"
    lab.up(print)
    healthy(lab)


def test_a_pulled_cable_cuts_one_network_only(lab: Lab) -> None:
    lab.plug("n2", "tunnel", connected=False)
    assert lab.run("n1", ["ping -c1 -W1 10.213.142.12"]).returncode != 0
    output(lab, "n1", "ping -c1 -W1 10.213.141.12")
    lab.plug("n2", "tunnel", connected=True)
    healthy(lab)


def test_a_reset_node_is_fresh_and_keeps_its_host_key(lab: Lab) -> None:
    """Also where nobody can tell the engine any more how the old one ended."""
    output(lab, "n1", "touch /root/gone /var/lib/scs-deploy/gone; dd if=/etc/hostname of=/dev/scs-disk0 conv=notrunc")
    host.run(["kill", "-9", monitor(container.listed(lab.names)["n1"])])
    lab.reset("n1")
    healthy(lab)
    assert (
        output(lab, "n1", "ls /root /var/lib/scs-deploy | grep gone; head -c2 /dev/scs-disk0 | tr -d '\\0'; true") == ""
    )


def test_the_same_region_of_another_checkout_runs_beside_it_and_leaves_nothing(lab: Lab) -> None:
    before = volumes()
    other = Lab(dataclasses.replace(SPEC, source="/scs-integration-test-2"))
    said: list[str] = []
    try:
        other.up(said.append)
        assert other.namespace is not None
        assert any("overlaps" in line and lab.names.bridge("api") in line for line in said)
        healthy(other)
        healthy(lab)
        ids = [output(one, "n1", "cat /etc/machine-id") for one in (lab, other)]
        assert ids[0] != ids[1]
        assert all(traces(other).values())
    finally:
        other.down()
    assert not any(traces(other).values()), traces(other)
    assert volumes() <= before
    healthy(lab)


def test_down_leaves_nothing_and_works_twice(lab: Lab) -> None:
    lab.down()
    assert not any(traces(lab).values()), traces(lab)
    lab.down()
    lab.up()
    healthy(lab)
