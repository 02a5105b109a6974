"""What a node is: only what stays the same from one look to the next, so that a digest tells whether anything changed."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import re
import resource
from typing import Any, Literal

from .host import Host
from .question import Cgroup, Cpu, DiskFacts, Facts, Features, InterfaceFacts, System
from .systemd import Unit

ENGINE_PACKAGES = (
    "podman",
    "docker.io",
    "crun",
    "runc",
    "containerd",
    "netavark",
    "python3-podman",
    "python3-docker",
    "systemd",
)
NTP_UNITS = ("chrony.service", "systemd-timesyncd.service", "ntpsec.service")

_CPU_FLAGS = ("vmx", "svm", "aes", "avx", "avx2", "avx512f", "pdpe1gb", "sse4_2", "hypervisor", "ept", "npt")
_FOREIGN = re.compile(
    r"^(veth|tap|qv[bo]|q[rg]-|vnet|cni|podman|docker|br-[0-9a-f]{12}$|ovs-|genev_sys|vxlan_sys|virbr)"
)
_PORT_KINDS = ("tun", "openvswitch")
"""Ports of virtual switches: a guest's, unless the node has an address on it."""
_NO_DISK = ("loop", "ram", "zram", "fd", "sr", "nbd", "dm-")
_RESOLVERS = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
"""Where the first names systemd's stub on a loopback address, the second names what the stub asks."""
_CAP_SYS_TIME = 25
_MEMORY_STEP = 64
"""MiB: a kernel update moves MemTotal a little; the fact should not."""


def gather(host: Host, versions: dict[str, str], units: dict[str, Unit]) -> Facts:
    """Return the facts; ``versions`` holds installed ENGINE_PACKAGES, ``units`` the state of NTP_UNITS."""
    return {
        "os": _os(host),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "hostname": platform.node(),
        "python": platform.python_version(),
        "cpu": _cpu(host),
        "memory_mib": _memory(host),
        "disks": _disks(host),
        "interfaces": _interfaces(host),
        "resolvers": _resolvers(host),
        "cgroup": _cgroup(host),
        "engines": {name: versions[name] for name in ENGINE_PACKAGES if name in versions},
        "kernel_features": _features(host),
        "ntp": {
            name.removesuffix(".service"): unit.active
            for name, unit in units.items()
            if name in NTP_UNITS and unit.present
        },
        "virtualization": host.run(["systemd-detect-virt"]).out.strip() or "unknown",
        "limits": {
            "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[1],
        },
        "clock_settable": _may_set_clock(host),
    }


def _may_set_clock(host: Host) -> bool:
    """CAP_SYS_TIME is in the bounding set; a node that shares its kernel must not step the clock of others."""
    found = re.search(r"^CapBnd:\s+([0-9a-f]+)", host.read("/proc/self/status"), re.MULTILINE)
    return bool(found and int(found.group(1), 16) >> _CAP_SYS_TIME & 1)


def _os(host: Host) -> System:
    pairs = (line.split("=", 1) for line in host.read("/etc/os-release").splitlines() if "=" in line)
    found = {key: value.strip('"') for key, value in pairs}
    return {
        "id": found.get("ID", ""),
        "version": found.get("VERSION_ID", ""),
        "codename": found.get("VERSION_CODENAME", ""),
    }


def _cpu(host: Host) -> Cpu:
    text = host.read("/proc/cpuinfo")
    values = dict(re.findall(r"^([\w ]+?)\s*:[ \t]*(.*)$", text.partition("\n\n")[0], re.MULTILINE))
    flags = values.get("flags", "").split()
    siblings, cores = int(values.get("siblings", 1) or 1), int(values.get("cpu cores", 1) or 1)
    return {
        "model": values.get("model name", ""),
        "count": text.count("processor\t:") or os.cpu_count() or 1,
        "threads_per_core": max(1, siblings // cores),
        "flags": sorted(flag for flag in _CPU_FLAGS if flag in flags),
    }


def _memory(host: Host) -> int:
    found = re.search(r"^MemTotal:\s+(\d+)", host.read("/proc/meminfo"), re.MULTILINE)
    return int(found.group(1)) // 1024 // _MEMORY_STEP * _MEMORY_STEP if found else 0


def _disks(host: Host) -> list[DiskFacts]:
    columns = "NAME,TYPE,SIZE,SERIAL,MODEL,ROTA,FSTYPE,MOUNTPOINTS,MAJ:MIN"
    done = host.run(["lsblk", "--json", "--bytes", f"--output={columns}"])
    devices = _by_node(host, json.loads(done.out)["blockdevices"]) if done.ok else []
    links = _links(host)
    return [
        {
            "name": device["name"],
            "path": links.get(device["name"], f"/dev/{device['name']}"),
            "size": int(device["size"]),
            "serial": (device["serial"] or "").strip(),
            "model": (device["model"] or "").strip(),
            "rotational": bool(device["rota"]),
            "in_use": _in_use(device),
        }
        for device in sorted(devices, key=lambda device: str(device["name"]))
        if device["type"] == "disk" and int(device["size"]) and not device["name"].startswith(_NO_DISK)
    ]


def _by_node(host: Host, devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Devices as the node knows them: one that /dev has under another name than the kernel is a disk of that name."""
    by_number = {device["maj:min"]: device for device in devices}
    others = {
        name: by_number[number] | {"name": name, "type": "disk"}
        for name, number in host.block_devices().items()
        if number in by_number and by_number[number]["name"] != name
    }
    return [device for device in devices if device["name"] not in others] + list(others.values())


def _links(host: Host) -> dict[str, str]:
    """Kernel name -> a path that stays the same from boot to boot: the first name below /dev/disk/by-id."""
    folder = host.path("/dev/disk/by-id")
    names = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
    return {path.readlink().name: f"/dev/disk/by-id/{path.name}" for path in names if path.is_symlink()}


def _in_use(device: dict[str, Any]) -> bool:
    mounted = any(device.get("mountpoints") or [])
    return mounted or bool(device.get("fstype")) or bool(device.get("children"))


def _interfaces(host: Host) -> list[InterfaceFacts]:
    done = host.run(["ip", "-json", "-details", "address", "show"])
    links = json.loads(done.out or "[]") if done.ok else []
    return [
        {
            "name": link["ifname"],
            "mac": link.get("address", ""),
            "mtu": link["mtu"],
            "kind": link.get("linkinfo", {}).get("info_kind", ""),
            "vlan": link.get("linkinfo", {}).get("info_data", {}).get("id") if _is_vlan(link) else None,
            "parent": link.get("link", "") if _is_vlan(link) else "",
            "speed": int(host.read(f"/sys/class/net/{link['ifname']}/speed") or -1),
            "addresses": sorted(_addresses(link)),
        }
        for link in sorted(links, key=lambda link: str(link["ifname"]))
        if not _FOREIGN.match(link["ifname"])
        and (link.get("linkinfo", {}).get("info_kind") not in _PORT_KINDS or _addresses(link))
    ]


def _is_vlan(link: dict[str, Any]) -> bool:
    return bool(link.get("linkinfo", {}).get("info_kind") == "vlan")


def _addresses(link: dict[str, Any]) -> list[str]:
    """Addresses that stay: keepalived's VIPs come and go as host addresses (/32, /128), temporary IPv6 ones expire."""
    found = [
        address
        for address in link.get("addr_info", [])
        if address.get("scope") == "global" and not address.get("temporary")
    ]
    lone = {"inet": 32, "inet6": 128}
    return [
        f"{address['local']}/{address['prefixlen']}"
        for address in found
        if link["ifname"] == "lo" or address["prefixlen"] != lone.get(address["family"])
    ]


def _resolvers(host: Host) -> list[str]:
    """Resolvers of the node that other machines can ask too: none on loopback or link-local addresses."""
    for path in _RESOLVERS:
        named = re.findall(r"^\s*nameserver\s+(\S+)", host.read(path), re.MULTILINE)
        if found := [one for one in dict.fromkeys(named) if _reachable(one)]:
            return found
    return []


def _reachable(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    own = address.is_loopback or address.is_link_local or address.is_unspecified
    return not (own or address.is_multicast or getattr(address, "ipv4_mapped", None))


def _cgroup(host: Host) -> Cgroup:
    if host.exists("/sys/fs/cgroup/cgroup.controllers"):
        return {"mode": "v2", "controllers": sorted(host.read("/sys/fs/cgroup/cgroup.controllers").split())}
    mode: Literal["hybrid", "v1"] = "hybrid" if host.exists("/sys/fs/cgroup/unified") else "v1"
    lines = (line.split("\t") for line in host.read("/proc/cgroups").splitlines() if not line.startswith("#"))
    return {"mode": mode, "controllers": sorted(line[0] for line in lines if line[-1] == "1")}


def _features(host: Host) -> Features:
    modules = f"/lib/modules/{platform.release()}"
    listed = host.read(f"{modules}/modules.builtin") + host.read(f"{modules}/modules.dep")
    loaded = host.read("/proc/modules")

    def kernel(name: str) -> bool:
        return (
            host.exists(f"/sys/module/{name}")
            or f"/{name}.ko" in listed
            or re.search(rf"^{name} ", loaded, re.M) is not None
        )

    return {
        "openvswitch": kernel("openvswitch"),
        "geneve": kernel("geneve"),
        "vxlan": kernel("vxlan"),
        "bonding": kernel("bonding"),
        "vlan": kernel("8021q"),
        "rbd": kernel("rbd"),
        "nbd": kernel("nbd"),
        "dm": kernel("dm_mod"),
        "vhost": host.exists("/dev/vhost-net"),
        "kvm": host.exists("/dev/kvm"),
        "tun": host.exists("/dev/net/tun"),
    }
