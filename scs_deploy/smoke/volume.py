"""Volumes: attached to a running server, written by it, backed up and read again, snapshots."""

from __future__ import annotations

import re
from typing import Any

from scs_deploy.errors import DeployError
from scs_deploy.smoke.bench import Bench
from scs_deploy.smoke.steps import NotDeployedError, SmokeStep

SECONDS = 120
GIB = 1 << 30
SEEN = r"^GUEST-DISK (\w+) bytes=(\d+) (?:found|wrote|data)=(\w+)"
"""Name in the guest and size of a disk that came, and its mark, or what stands for its content: an encrypted one is never empty."""

HEADER = 16 << 20
"""Bytes that the header of an encrypted volume may take; that of LUKS takes 2 MiB."""

ENCRYPTED = re.compile(r"\[scs:[^]]*\bencrypted\b")
"""How a volume type tells users that it encrypts (SCS standard scs-0114)."""
FIX = "see scs-deploy logs of the volume service and of the hypervisor's agent"


def volume(bench: Bench) -> str:
    made = bench.api.block_storage.create_volume(name=bench.name("volume"), size=1)
    bench.made["volume"] = made.id
    found = _available(bench, made.id)
    return f"{found.size} GiB, type {found.volume_type}"


def attach(bench: Bench) -> str:
    """The guest sees an empty disk come and writes a mark on it."""
    line = _attached(bench, bench.made["volume"], r"^GUEST-DISK (\w+) bytes=(\d+) wrote=(\w+)")
    if int(line[1]) != GIB:
        raise DeployError("the disk in the guest has another size", where=line[0], why=f"{line[1]} bytes, not 1 GiB")
    bench.made["mark"] = line[2]
    return f"seen as {line[0]}, wrote {line[2]}"


def detach(bench: Bench) -> str:
    _detached(bench, bench.made["volume"])
    return "the guest saw it go"


def snapshot(bench: Bench) -> str:
    api = bench.api.block_storage
    made = api.create_snapshot(name=bench.name("snapshot"), volume_id=bench.made["volume"])
    bench.until("the snapshot of the volume", lambda: api.get_snapshot(made.id), "available", SECONDS, FIX)
    copy = api.create_volume(name=bench.name("copy"), snapshot_id=made.id, size=1)
    bench.made["copy"] = copy.id
    _available(bench, copy.id)
    return "and a volume from it"


def extend(bench: Bench) -> str:
    """The copy, while it is attached: the guest sees it grow."""
    return _grown(bench, bench.made["copy"])[1]


def encrypted(bench: Bench) -> str:
    """Attached, extended, detached, attached again: each of them takes its key."""
    kinds = (kind for kind in bench.api.block_storage.types() if ENCRYPTED.match(kind.description or ""))
    kind = next(kinds, None)
    if kind is None:
        raise NotDeployedError("no volume type says [scs:encrypted]")
    made = bench.api.block_storage.create_volume(name=bench.name("encrypted"), size=1, volume_type=kind.name)
    _available(bench, made.id)
    before, grown = _grown(bench, made.id)
    after = _attached(bench, made.id, SEEN)
    _detached(bench, made.id)
    _same(before[2], after[2], bench.name("encrypted"))
    return f"type {kind.name}, {grown}; attached again, the guest found {after[2]}"


def backup(bench: Bench) -> str:
    api = bench.api.block_storage
    services = bench.admin.api.block_storage.services()
    if not any(service.binary.endswith("-backup") for service in services):
        raise NotDeployedError("no backup service for volumes")
    made = api.create_backup(name=bench.name("backup"), volume_id=bench.made["volume"])
    bench.made["backup"] = made.id
    found = bench.until("the backup", lambda: api.get_backup(made.id), "available", 300, FIX)
    return f"{found.object_count} objects"


def restore(bench: Bench) -> str:
    """Into a new volume; the guest finds its mark on it."""
    api = bench.api.block_storage
    answer = api.restore_backup(bench.made["backup"], name=bench.name("restored"))
    made = answer.volume_id
    bench.until("the backup", lambda: api.get_backup(bench.made["backup"]), "available", 300, FIX)
    _available(bench, made)
    line = _attached(bench, made, SEEN)
    _detached(bench, made)
    _same(bench.made["mark"], line[2], bench.name("restored"))
    return f"the guest found {line[2]}"


def _same(wanted: str, found: str, where: str) -> None:
    if found != wanted:
        raise DeployError("the volume holds other data", where=where, why=f"{found}, not {wanted}")


def _grown(bench: Bench, volume: str) -> tuple[tuple[str, ...], str]:
    """Attach a volume of 1 GiB, make it 2 GiB, wait until the guest sees it, detach it; how it came, and how it grew."""
    came = _attached(bench, volume, SEEN)
    server, line = bench.server(), rf"^GUEST-DISK-SIZE {came[0]} bytes=(\d+)\b"
    before = bench.count(server, line)
    bench.api.block_storage.extend_volume(volume, 2)
    bench.until("the volume", lambda: bench.api.block_storage.get_volume(volume), "in-use", SECONDS, FIX)
    size = int(bench.seen(server, line, 60, "the larger disk in the guest", FIX, before)[1])
    if not 2 * GIB - HEADER <= size <= 2 * GIB:
        raise DeployError("the disk in the guest has another size", where=came[0], why=f"{size} bytes, not 2 GiB")
    _detached(bench, volume)
    return came, f"{came[0]} grew from {came[1]} to {size} bytes in the guest"


def _available(bench: Bench, volume: str) -> Any:
    return bench.until("the volume", lambda: bench.api.block_storage.get_volume(volume), "available", SECONDS, FIX)


def _attached(bench: Bench, volume: str, pattern: str) -> tuple[str, ...]:
    server = bench.server()
    before = bench.count(server, pattern)
    bench.api.compute.create_volume_attachment(server.id, volume_id=volume)
    bench.until("the volume", lambda: bench.api.block_storage.get_volume(volume), "in-use", SECONDS, FIX)
    return bench.seen(server, pattern, 60, "the new disk in the guest", FIX, before).groups()


def _detached(bench: Bench, volume: str) -> None:
    server, pattern = bench.server(), r"^GUEST-DISK-GONE \w+"
    before = bench.count(server, pattern)
    bench.api.compute.delete_volume_attachment(server.id, volume)
    _available(bench, volume)
    bench.seen(server, pattern, 60, "the guest's word that the disk is gone", FIX, before)


STEPS = (
    SmokeStep("volume", "volume", volume, ("login",), ("block-storage",)),
    SmokeStep("attach", "volume attached to a running server", attach, ("volume", "console"), ("compute",)),
    SmokeStep("detach", "volume detached again", detach, ("attach",)),
    SmokeStep("volume-snapshot", "snapshot of a volume", snapshot, ("volume",)),
    SmokeStep("extend", "attached volume extended", extend, ("attach", "volume-snapshot")),
    SmokeStep("encrypted", "encrypted volume, extended while it is attached", encrypted, ("attach",), ("key-manager",)),
    SmokeStep("backup", "backup of a volume", backup, ("detach",)),
    SmokeStep("restore", "restore of a backup", restore, ("backup",)),
)
