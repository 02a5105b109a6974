"""Checks of the machine itself: operating system, CPU, memory, cgroups, kernel, engine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scs_deploy.errors import Finding
from scs_deploy.preflight.subject import Subject

DEBIAN = "13"
ENGINES = {"podman": ("podman", 5), "docker": ("docker.io", 26)}
"""Engine -> its Debian package and the lowest major version, that of Debian 13; Podman 5 has the Quadlet keys we write."""

MEMORY_BASE = 2048
MEMORY_OF_GROUP = {"control": 8192, "network": 2048, "compute": 4096, "storage": 4096}
"""MiB: recommended for the system and for each group a node is in; guests come on top."""

_HYPERVISOR_GROUPS = frozenset({"compute"})
_TUNNEL_GROUPS = frozenset({"compute", "network"})


def _os(subject: Subject) -> Iterator[Finding]:
    found = subject.facts["os"]
    if (found["id"], found["version"]) != ("debian", DEBIAN):
        shown = " ".join(part for part in (found["id"], found["version"] or found["codename"]) if part) or "unknown"
        why = f"packages and container engine are those of Debian {DEBIAN}"
        yield subject.finding("error", f"the operating system is {shown}", why, f"install Debian {DEBIAN} on it")


def _hostname(subject: Subject) -> Iterator[Finding]:
    name = subject.facts["hostname"]
    if name == subject.node.name:
        return
    shared = sorted(other for other in subject.sharing if other != subject.node.name)
    what = f"the machine is called {name}" + (f", and so is {', '.join(shared)}" if shared else "")
    why = "its services are to be known by the node's name, some also by the machine's, which must be one of its own"
    fix = "nothing to do before the first apply, which gives it the node's name; later it refuses, and says what to do"
    yield subject.finding("warning" if shared else "info", what, why, fix)


def _cpu(subject: Subject) -> Iterator[Finding]:
    if subject.facts["architecture"] != "x86_64":
        return
    flags = subject.facts["cpu"]["flags"]
    if "sse4_2" not in flags:
        why = "the CPU has no sse4_2 (x86-64-v2), which current packages and guest images use"
        yield subject.finding(
            "warning", "the CPU is too old", why, "choose a newer CPU, or another CPU model of the VM"
        )
    if "aes" not in flags:
        why = "the CPU has no aes instructions, so TLS and disk encryption are many times slower"
        yield subject.finding("warning", "encryption is slow", why, "enable AES-NI in the firmware or the VM")
    if _in(subject, _HYPERVISOR_GROUPS) and not {"vmx", "svm"} & set(flags):
        why = "the CPU shows neither vmx nor svm"
        fix = "enable virtualization in the firmware (or nested virtualization); without it guests are emulated"
        yield subject.finding("warning", "guests run without hardware virtualization", why, fix)


def _memory(subject: Subject) -> Iterator[Finding]:
    has = subject.facts["memory_mib"]
    wanted = MEMORY_BASE + sum(MEMORY_OF_GROUP.get(group, 0) for group in subject.node.groups)
    if has < MEMORY_BASE:
        fix = "use a machine with more memory"
        yield subject.finding("error", f"only {has} MiB of memory", f"{MEMORY_BASE} MiB are the least that works", fix)
    elif has < wanted * 0.95:  # the kernel keeps some of the installed memory for itself
        why = f"{wanted} MiB are recommended for its groups: {', '.join(subject.node.groups) or 'none'}"
        yield subject.finding(
            "warning", f"only {has} MiB of memory", why, "add memory, or take the node out of a group"
        )


def _cgroups(subject: Subject) -> Iterator[Finding]:
    found = subject.facts["cgroup"]
    if found["mode"] != "v2":
        why = "systemd and Podman of Debian 13 no longer support it"
        fix = "boot without systemd.unified_cgroup_hierarchy=0 and cgroup_no_v1"
        yield subject.finding("warning", f"control groups are {found['mode']}, not v2", why, fix)
    missing = [name for name in ("memory", "pids") if name not in found["controllers"]]
    if missing:
        why = f"the kernel offers no {' and no '.join(missing)} controller"
        fix = "boot without cgroup_disable=...; in a container, delegate the controllers; or live without limits"
        yield subject.finding("info", f"limits of {' and '.join(missing)} are not applied to containers", why, fix)


def _kernel(subject: Subject) -> Iterator[Finding]:
    features = subject.facts["kernel_features"]
    if _in(subject, _TUNNEL_GROUPS):
        missing = [name for name in ("openvswitch", "geneve") if not features[name]]
        if missing:
            why = f"the kernel has no module {' and no module '.join(missing)}"
            fix = "boot a Debian kernel with its modules; without them Open vSwitch uses its slower userspace datapath"
            yield subject.finding("warning", "networks of projects are slow", why, fix)
        if not features["tun"]:
            why, fix = "/dev/net/tun does not exist", "load the module tun, or pass the device to the container"
            yield subject.finding("error", "no network interfaces for guests can be made", why, fix)
    if _in(subject, _HYPERVISOR_GROUPS):
        if not features["kvm"]:
            why, fix = "/dev/kvm does not exist", "load kvm_intel or kvm_amd; without it guests can only be emulated"
            yield subject.finding("warning", "guests are slow, where they may run at all", why, fix)
        elif not features["vhost"]:
            why, fix = "/dev/vhost-net does not exist", "load the module vhost_net"
            yield subject.finding("info", "guest networking takes more CPU", why, fix)


def _engine(subject: Subject) -> Iterator[Finding]:
    engine = subject.node.engine
    package, least = ENGINES[engine]
    version = subject.facts["engines"].get(package)
    if version is None:
        why, fix = f"the package {package} is not there", "nothing to do: the first apply installs it"
        yield subject.finding("info", f"{engine} is not installed", why, fix)
    elif _major(version) < least:
        why, fix = f"version {least} is needed", f"upgrade the package {package} to that of Debian {DEBIAN}"
        yield subject.finding("error", f"{engine} {version} is too old", why, fix)
    elif subject.engine and subject.engine.state == "unreachable":
        fix = f"look at 'systemctl status {engine}.socket {engine}.service' on the node"
        yield subject.finding("error", f"{engine} does not answer", subject.engine.why, fix)


def _major(version: str) -> int:
    """Of a Debian version such as ``1:5.4.2+ds1-2``."""
    found = re.match(r"(?:\d+:)?(\d+)", version)
    return int(found.group(1)) if found else 0


def _in(subject: Subject, groups: frozenset[str]) -> bool:
    return not groups.isdisjoint(subject.node.groups)


CHECKS = (_os, _hostname, _cpu, _memory, _cgroups, _kernel, _engine)
