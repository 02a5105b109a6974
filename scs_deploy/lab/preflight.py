"""Whether this machine can carry a lab at all: privilege, programs, memory."""

from __future__ import annotations

import os
from collections.abc import Collection

from scs_deploy.errors import DeployError
from scs_deploy.lab import host
from scs_deploy.lab.spec import LabSpec

NODE_MEMORY_MB = 64
"""A node without any service: systemd, sshd and journald measured at 19 MB, with room for Ansible's Python."""


def check_machine() -> None:
    """Raises DeployError when the caller is not root or a program is missing."""
    if os.geteuid() != 0:
        raise DeployError(
            "a lab needs root",
            where="controller",
            why="nodes are privileged containers with their own network namespaces",
            fix="run it with sudo",
        )
    missing = host.missing_programs()
    if missing:
        raise DeployError(
            "programs that a lab needs are not installed",
            where="controller",
            why=f"missing packages: {' '.join(missing)}",
            fix=f"apt-get install {' '.join(missing)}",
        )


def check_memory(spec: LabSpec, fresh: Collection[str]) -> None:
    """Raises DeployError when the nodes that are yet to be made do not fit into the memory that is free."""
    needed = sum(node.memory_mb or NODE_MEMORY_MB for node in spec.nodes if node.name in fresh)
    free = host.free_memory_mb()
    if needed > free:
        raise DeployError(
            f"the lab needs {needed} MiB of memory, {free} MiB are free",
            where="controller",
            why=f"{len(fresh)} nodes are to be made",
            fix="end other programs, take a smaller region, or lower the nodes' memory",
        )
