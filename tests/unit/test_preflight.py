"""Preflight: a fit node gives no finding; each single defect gives exactly its own, with severity, cause and fix."""

from __future__ import annotations

import copy
import ipaddress
from types import SimpleNamespace

import pytest

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import EngineSeen, Live
from scs_deploy.preflight import Subject, WantedPort, evaluate
from scs_deploy.region.host import Disk, Hardware, Nic
from scs_deploy.region.network import Addresses

GIB = 1024**3
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a node reports
FACTS = {
    "os": {"id": "debian", "version": "13", "codename": "trixie"},
    "kernel": "6.12.0",
    "architecture": "x86_64",
    "hostname": "n1",
    "cpu": {"model": "AMD EPYC 9354", "count": 64, "threads_per_core": 2, "flags": ["aes", "sse4_2", "svm"]},
    "memory_mib": 251 * 1024,
    "disks": [
        {"name": "nvme0n1", "size": 894 * GIB, "serial": "S1", "model": "m", "rotational": False, "in_use": True},
        {"name": "sdb", "size": 7452 * GIB, "serial": "Z9", "model": "m", "rotational": True, "in_use": False},
    ],
    "interfaces": [
        {"name": "lo", "mac": "00:00:00:00:00:00", "mtu": 65536, "kind": "", "vlan": None, "parent": "", "speed": -1, "addresses": []},
        {
            "name": "eno1", "mac": "aa:bb:cc:00:00:01", "mtu": 1500, "kind": "", "vlan": None, "parent": "", "speed": 25000,
            "addresses": ["10.77.1.11/24", "fd00:77:1::11/64"],
        },
        {"name": "bond0", "mac": "aa:bb:cc:00:00:02", "mtu": 9000, "kind": "bond", "vlan": None, "parent": "", "speed": 50000, "addresses": ["10.77.2.11/24"]},
        {"name": "eno2", "mac": "aa:bb:cc:00:00:02", "mtu": 9000, "kind": "", "vlan": None, "parent": "", "speed": 25000, "addresses": []},
    ],
    "resolvers": ["192.0.2.53"],
    "cgroup": {"mode": "v2", "controllers": ["cpu", "memory", "pids"]},
    "engines": {"podman": "5.4.2+ds1-2", "docker.io": "26.1.5"},
    "kernel_features": dict.fromkeys(("openvswitch", "geneve", "tun", "kvm", "vhost"), True),
    "ntp": {"chrony": "active"},
}  # fmt: skip
LIVE = {
    "time": 1000.0,
    "free_bytes": {"/": 50 * GIB, "/var/lib/containers": 100 * GIB, "/var/lib/scs-deploy": 100 * GIB},
    "listening": [["tcp", EVERYWHERE, 22], ["tcp6", "::", 22]],
}
NETWORKS = {
    "api": SimpleNamespace(name="api", cidr=ipaddress.ip_network("10.77.1.0/24"), cidr6=ipaddress.ip_network("fd00:77:1::/64"), mtu=1500, vlan=None),
    "tunnel": SimpleNamespace(name="tunnel", cidr=ipaddress.ip_network("10.77.2.0/24"), cidr6=None, mtu=9000, vlan=None),
}  # fmt: skip
ADDRESSES = {
    "api": Addresses(ipaddress.IPv4Address("10.77.1.11"), ipaddress.IPv6Address("fd00:77:1::11")),
    "tunnel": Addresses(ipaddress.IPv4Address("10.77.2.11")),
}
PORT = WantedPort("galera", "tcp", "10.77.1.11", 3306, False)


def subject(facts=None, live=None, **changes):
    """A fit node, with ``facts`` and ``live`` merged into what it says and the rest into what is declared."""
    declared = {
        "name": "n1", "groups": ("control", "network", "compute"), "addresses": ADDRESSES, "engine": "podman", "dns": (),
        "nics": {"eno1": Nic(mac="aa:bb:cc:00:00:01", mtu=1500, speed=25000), "bond0": Nic(members=("eno2",))},
        "disks": (Disk(path="/dev/nvme0n1", use="system", size_gb=894, media="nvme"), Disk(serial="Z9", use="osd", media="hdd")),
        "hardware": Hardware(cpu="epyc", cores=32, smt=True, memory_gb=256, local_ssd=True),
    }  # fmt: skip
    outer = {key: changes.pop(key) for key in ("clock", "ports", "engine_state", "sharing") if key in changes}
    if "engine_state" in outer:
        outer["engine"] = outer.pop("engine_state")
    node = SimpleNamespace(**declared | changes)
    return Subject(node, NETWORKS, merged(FACTS, facts or {}), seen(merged(LIVE, live or {})), **outer)


def seen(live):
    return wire.load(Live, {"boot_id": "b", **live})


def merged(base, over):
    result = copy.deepcopy(base)
    for key, value in over.items():
        result[key] = merged(base[key], value) if isinstance(value, dict) and key != "free_bytes" else value
    return result


def nics(**change):
    """All interfaces, eno1 changed."""
    return {"interfaces": [one | change if one["name"] == "eno1" else one for one in FACTS["interfaces"]]}


def test_a_fit_node_gives_no_finding():
    assert evaluate(subject(ports=(PORT,), engine_state=EngineSeen("ok"))) == []


@pytest.mark.parametrize(
    ("change", "severity", "what"),
    [
        ({"facts": {"os": {"version": "12"}}}, "error", "operating system is debian 12"),
        ({"facts": {"os": {"id": "ubuntu", "version": "13"}}}, "error", "operating system is ubuntu 13"),
        ({"facts": {"hostname": "debian"}}, "info", "the machine is called debian"),
        ({"facts": {"hostname": "debian"}, "sharing": ("n1", "n2")}, "warning", "is called debian, and so is n2"),
        ({"facts": {"cpu": {"flags": ["sse4_2", "svm"]}}}, "warning", "encryption is slow"),
        ({"facts": {"cpu": {"flags": ["aes", "vmx"]}}}, "warning", "CPU is too old"),
        ({"facts": {"cpu": {"flags": ["aes", "sse4_2"]}}}, "warning", "without hardware virtualization"),
        ({"facts": {"memory_mib": 12288}, "hardware": Hardware()}, "warning", "only 12288 MiB"),
        ({"facts": {"memory_mib": 1984}, "hardware": Hardware()}, "error", "only 1984 MiB"),
        ({"facts": {"cgroup": {"mode": "hybrid"}}}, "warning", "control groups are hybrid"),
        ({"facts": {"cgroup": {"controllers": ["pids"]}}}, "info", "limits of memory are not applied"),
        ({"facts": {"cgroup": {"controllers": []}}}, "info", "limits of memory and pids are not applied"),
        ({"facts": {"kernel_features": {"openvswitch": False, "geneve": False}}}, "warning", "networks of projects are slow"),
        ({"facts": {"kernel_features": {"tun": False}}}, "error", "no network interfaces for guests"),
        ({"facts": {"ntp": {"chrony": "inactive"}}}, "warning", "nothing keeps the clock right"),
        ({"facts": {"kernel_features": {"kvm": False}}}, "warning", "guests are slow"),
        ({"facts": {"kernel_features": {"vhost": False}}}, "info", "guest networking"),
        ({"facts": {"engines": {"podman": "4.3.1+ds1-8"}}}, "error", "podman 4.3.1+ds1-8 is too old"),
        ({"facts": {"engines": {"docker.io": "1:20.10"}}, "engine": "docker"}, "error", "docker 1:20.10 is too old"),
        ({"engine_state": EngineSeen("unreachable", "no socket")}, "error", "podman does not answer"),
        ({"hardware": Hardware(cpu="Xeon")}, "error", "hardware.cpu disagrees"),
        ({"hardware": Hardware(cores=64)}, "error", "hardware.cores disagrees"),
        ({"hardware": Hardware(smt=False)}, "error", "hardware.smt disagrees"),
        ({"hardware": Hardware(memory_gb=512)}, "error", "hardware.memory_gb disagrees"),
        ({"hardware": Hardware(memory_gb=128)}, "error", "hardware.memory_gb disagrees"),
        ({"hardware": Hardware(local_ssd=False)}, "error", "hardware.local_ssd disagrees"),
        ({"hardware": Hardware(ecc=True)}, "info", "hardware.ecc is not verified"),
        ({"disks": (Disk(path="/dev/sdc", use="osd"),)}, "error", "disks[0] (/dev/sdc, osd) is missing"),
        ({"disks": (Disk(serial="Z8", use="osd"),)}, "error", "disks[0] (Z8, osd) is missing"),
        ({"disks": (Disk(path="/dev/sdb", serial="Z8", use="osd"),)}, "error", "serial disagrees"),
        ({"disks": (Disk(path="/dev/sdb", use="osd", size_gb=8000),)}, "error", "size_gb disagrees"),
        ({"disks": (Disk(path="/dev/sdb", use="osd", media="ssd"),)}, "error", "media disagrees"),
        ({"disks": (Disk(path="/dev/disk/by-id/ata-X_Z9", use="osd", media="ssd"),)}, "error", "media disagrees"),
        ({"disks": (Disk(path="/dev/disk/by-path/pci-0", use="osd"),)}, "info", "not verified"),
        ({"nics": {"eno9": Nic()}}, "error", "eno9 is missing"),
        ({"nics": {"eno1": Nic(mac="aa:bb:cc:00:00:99")}}, "error", "nics.eno1.mac disagrees"),
        ({"nics": {"eno1": Nic(mtu=9000)}}, "error", "nics.eno1.mtu disagrees"),
        ({"nics": {"eno1": Nic(speed=100000)}}, "error", "nics.eno1.speed disagrees"),
        ({"nics": {"eno1": Nic(members=("eno2",))}}, "error", "nics.eno1.members disagrees"),
        ({"nics": {"bond0": Nic(members=("eno2", "eno3"))}}, "error", "member eno3 of bond bond0 is missing"),
        ({"facts": nics(mtu=1400), "nics": {}}, "error", "MTU of eno1 is only 1400"),
        ({"facts": nics(addresses=["10.77.1.11/24"])}, "error", "fd00:77:1::11 is not configured"),
        ({"facts": nics(addresses=["10.77.1.11/16", "fd00:77:1::11/64"])}, "warning", "prefix length of 10.77.1.11"),
        ({"clock": 5.0}, "warning", "clock is 5 s ahead of"),
        ({"clock": -10.0}, "warning", "clock is 10 s behind"),
        ({"clock": -40.0}, "error", "clock is 40 s behind"),
        ({"nics": {"bond0": Nic(networks=("api",))}}, "error", "the NIC of network api disagrees"),
        ({"facts": nics(kind="vlan", vlan=101, parent="bond0"), "nics": {}}, "error", "networks.api.vlan disagrees"),
        ({"facts": nics(kind="bridge"), "nics": {"bond0": Nic(networks=("api",))}}, "info", "NIC and VLAN of network api are not verified"),
        ({"facts": {"resolvers": []}, "dns": ()}, "warning", "knows no resolver but itself"),
        ({"live": {"free_bytes": {"/": 50 * GIB, "/var/lib/containers": 10 * GIB}}}, "warning", "10.0 GiB free in /var/lib/containers"),
        ({"live": {"free_bytes": {"/": 50 * GIB, "/var/lib/scs-deploy": GIB // 2}}}, "error", "0.5 GiB free in /var/lib/scs-deploy"),
        ({"live": {"listening": [["tcp", "10.77.1.11", 3306]]}, "ports": (PORT,)}, "error", "port 3306/tcp of galera is taken"),
        ({"live": {"listening": [["tcp6", "::", 3306]]}, "ports": (PORT,)}, "error", "port 3306/tcp of galera is taken"),
    ],
)  # fmt: skip
def test_one_defect_gives_one_finding(change, severity, what):
    findings = evaluate(subject(**change))
    assert [(finding.severity, what in finding.what) for finding in findings] == [(severity, True)], findings
    assert findings[0].path == "n1"
    assert findings[0].why
    assert findings[0].fix


@pytest.mark.parametrize(
    "change",
    [
        {"clock": 1.0},
        {"groups": ("storage",), "facts": {"kernel_features": dict.fromkeys(FACTS["kernel_features"], False)}},
        {"live": {"listening": [["udp", "10.77.1.11", 3306]]}, "ports": (PORT,)},
        {"live": {"listening": [["tcp", "10.77.1.5", 3306]]}, "ports": (PORT,)},
        {
            "live": {"listening": [["tcp", EVERYWHERE, 3306]]},
            "ports": (PORT, WantedPort("haproxy", "tcp", EVERYWHERE, 3306, True)),
        },
        {"disks": (Disk(path="/dev/sdb", use="osd", size_gb=7450),)},
        {"facts": nics(speed=-1)},
        {"hardware": Hardware(memory_gb=252)},
    ],
)
def test_what_is_no_defect(change):
    assert evaluate(subject(**change)) == []


def test_an_engine_that_is_not_there_yet_will_be_installed():
    one = subject()
    findings = evaluate(Subject(one.node, NETWORKS, FACTS | {"engines": {}}, seen(LIVE)))
    assert [(finding.severity, finding.what) for finding in findings] == [("info", "podman is not installed")]


def test_the_gravest_come_first():
    found = evaluate(subject(facts={"os": {"version": "12"}, "cgroup": {"mode": "v1", "controllers": []}}))
    assert [finding.severity for finding in found] == ["error", "warning", "info"]
