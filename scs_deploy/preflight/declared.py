"""Checks of hardware that region.yml declares: what is said there must be what the machine has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import question
from scs_deploy.errors import Finding
from scs_deploy.preflight.subject import Subject
from scs_deploy.region.host import Disk

_GIB = 1024**3
_SIZE_TOLERANCE = 0.02
_MEMORY_LEAST = 0.90
"""Firmware and kernel keep some of the installed memory; MemTotal is what is left."""


def _hardware(subject: Subject) -> Iterator[Finding]:
    wanted, facts = subject.node.hardware, subject.facts
    cpu = facts["cpu"]
    cores, smt = cpu["count"] // cpu["threads_per_core"], cpu["threads_per_core"] > 1
    memory = facts["memory_mib"] / 1024
    ssd = any(not disk["rotational"] for disk in facts["disks"])
    if wanted.cpu is not None and wanted.cpu.lower() not in cpu["model"].lower():
        yield _disagrees(subject, "hardware.cpu", wanted.cpu, cpu["model"] or "unknown")
    if wanted.cores is not None and wanted.cores != cores:
        yield _disagrees(subject, "hardware.cores", wanted.cores, f"{cores} physical cores")
    if wanted.smt is not None and wanted.smt != smt:
        yield _disagrees(subject, "hardware.smt", _yaml(wanted.smt), _yaml(smt))
    if wanted.memory_gb is not None and not wanted.memory_gb * _MEMORY_LEAST <= memory <= wanted.memory_gb * 1.01:
        yield _disagrees(subject, "hardware.memory_gb", f"{wanted.memory_gb} GiB", f"{memory:.1f} GiB")
    if wanted.local_ssd is not None and wanted.local_ssd != ssd:
        yield _disagrees(subject, "hardware.local_ssd", _yaml(wanted.local_ssd), _yaml(ssd))
    if wanted.ecc is not None:
        why, fix = "the machine does not tell the operating system", "look at the memory modules or the BMC"
        yield subject.finding("info", "hardware.ecc is not verified", why, fix)


def _disks(subject: Subject) -> Iterator[Finding]:
    for number, wanted in enumerate(subject.node.disks):
        label = f"disks[{number}] ({wanted.path or wanted.serial}, {wanted.use})"
        found = _find(wanted, subject.facts["disks"])
        if found is not None:
            yield from _disk(subject, label, wanted, found)
        elif wanted.serial is None and wanted.path and _nameless(wanted.path):
            why = "such a path cannot be compared with the names and serial numbers of the node's disks"
            yield subject.finding("info", f"{label} is not verified", why, "give its serial number to have it verified")
        else:
            there = ", ".join(
                f"{disk['name']} (serial {disk['serial'] or 'unknown'})" for disk in subject.facts["disks"]
            )
            fix = "look for a loose or failed disk, or correct region.yml"
            yield subject.finding("error", f"{label} is missing", f"the node has: {there or 'no disks'}", fix)


def _disk(subject: Subject, label: str, wanted: Disk, found: question.DiskFacts) -> Iterator[Finding]:
    size = found["size"] / _GIB
    media = "nvme" if found["name"].startswith("nvme") else "hdd" if found["rotational"] else "ssd"
    if wanted.path and wanted.serial and found["serial"] != wanted.serial:
        yield _disagrees(subject, f"{label}: serial", wanted.serial, found["serial"] or "unknown")
    if wanted.size_gb is not None and abs(size - wanted.size_gb) > max(1, wanted.size_gb * _SIZE_TOLERANCE):
        yield _disagrees(subject, f"{label}: size_gb", f"{wanted.size_gb} GiB", f"{size:.0f} GiB")
    if wanted.media is not None and wanted.media != media:
        yield _disagrees(subject, f"{label}: media", wanted.media, media)


def _find(wanted: Disk, disks: Sequence[question.DiskFacts]) -> question.DiskFacts | None:
    """By kernel name, else by serial number, which is also a part of the names below /dev/disk/by-id."""
    name = (wanted.path or "").removeprefix("/dev/")
    for disk in disks:
        if wanted.path and not _nameless(wanted.path):
            if disk["name"] == name:
                return disk
        elif disk["serial"] and (disk["serial"] == wanted.serial or f"_{disk['serial']}" in name):
            return disk
    return None


def _nameless(path: str) -> bool:
    """A link, or a kind of device that facts do not list."""
    return path.startswith(("/dev/disk/", "/dev/mapper/", "/dev/loop", "/dev/dm-")) or path.count("/") > 2


def _disagrees(subject: Subject, what: str, declared: object, real: object) -> Finding:
    fix = "correct region.yml, or the machine"
    return subject.finding(
        "error", f"{what} disagrees with the machine", f"declared is {declared}, the node has {real}", fix
    )


def _yaml(value: bool) -> str:
    return "true" if value else "false"


CHECKS = (_hardware, _disks)
