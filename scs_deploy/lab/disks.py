"""Disks of lab nodes: sparse files behind loop devices, which the node's entry point finds as major and minor numbers."""

from __future__ import annotations

import os
from pathlib import Path

from scs_deploy.errors import DeployError
from scs_deploy.lab import host
from scs_deploy.lab.spec import DiskSpec, NodeSpec

NODE_DISK = "/dev/scs-node"
"""The bounded filesystem for images, volumes and data of a node with ``disk_mb``."""


def backing(folder: Path, disk: DiskSpec) -> Path:
    return folder / "disks" / f"{disk.path.strip('/').replace('/', '-')}.img"


def all_disks(node: NodeSpec) -> tuple[DiskSpec, ...]:
    bounded = (DiskSpec(NODE_DISK, node.disk_mb),) if node.disk_mb else ()
    return (*bounded, *node.disks)


def attach(folder: Path, node: NodeSpec) -> str:
    """Make and attach the disks of a node; the text of its ``devices`` file: lines of path, major, minor."""
    lines = []
    present = host.loop_devices()
    for disk in all_disks(node):
        file = backing(folder, disk)
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            with fresh.open("wb") as stream:
                stream.truncate(disk.size_mb << 20)
            if disk.path == NODE_DISK:
                host.run(["mkfs.ext4", "-q", "-m", "0", str(fresh)])
            fresh.rename(file)
        device = present.get(file) or host.run(["losetup", "--find", "--show", str(file)]).strip()
        numbers = Path(device).stat().st_rdev
        lines.append(f"{disk.path} {os.major(numbers)} {os.minor(numbers)}")
    return "".join(line + "\n" for line in lines)


def detach(folder: Path) -> None:
    """Detach every loop device whose file lies below ``folder``. Raises DeployError when one is still in use."""
    for device in attached(folder).values():
        host.run(["losetup", "--detach", device], check=False)
    left = attached(folder)
    if left:
        raise DeployError(
            f"loop devices are still in use: {', '.join(sorted(left.values()))}",
            where=str(folder),
            fix="find who holds them with `lsblk` and `fuser -vm`, unmount, and run it again",
        )


def attached(folder: Path) -> dict[Path, str]:
    """Backing file -> loop device of every disk below ``folder``."""
    return {file: device for file, device in host.loop_devices().items() if file.is_relative_to(folder)}
