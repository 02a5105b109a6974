"""The image of a lab node: Debian with systemd, sshd, Python, both engines and the packages a node's baseline asks for."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from scs_deploy import engine
from scs_deploy.errors import DeployError
from scs_deploy.lab import host
from scs_deploy.lab.identity import digest
from scs_deploy.names import IMAGE_PREFIX

SUITE = "trixie"
PACKAGES = (
    *("systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "ca-certificates", "procps", "kmod", "less"),
    *("iproute2", "iputils-ping", "curl", "nftables", "iptables", "chrony", "e2fsprogs"),
    *("python3-pymysql", "python3-requests"),
    *("podman", "python3-podman", "crun", "netavark", "aardvark-dns", "uidmap", "docker.io", "python3-docker"),
)
"""Installed beforehand, so that a node's own ``apt-get install`` has nothing to fetch."""


def reference() -> str:
    """Changes with the content, so that a new list of packages makes a new image."""
    return f"{IMAGE_PREFIX}/lab-node:{SUITE}-{digest(SUITE, *PACKAGES)[:8]}"


def ensure(progress: Callable[[str], None]) -> str:
    """The reference of the node image; built when the store lacks it (about a minute)."""
    wanted = reference()
    if engine.podman(["image", "exists", wanted], check=False).returncode == 0:
        return wanted
    if not shutil.which("mmdebstrap"):
        raise DeployError(
            "the image of lab nodes is missing and cannot be built",
            where=wanted,
            why="mmdebstrap is not installed",
            fix="apt-get install mmdebstrap",
        )
    progress(f"building the image of lab nodes: {wanted}")
    with tempfile.TemporaryDirectory(prefix="scs-lab-image-") as folder:
        archive = Path(folder) / "node.tar"
        host.run(
            ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(archive)], timeout=1200
        )
        engine.podman(["import", "--quiet", "--change", "LABEL scs-deploy.lab-image=1", str(archive), wanted])
    return wanted
