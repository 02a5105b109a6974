"""The image of a lab node: Debian with systemd, sshd, Python, both engines and the packages a node's baseline asks for."""

from __future__ import annotations

from collections.abc import Callable

from scs_deploy.catalogue.release import load_release, release_names
from scs_deploy.images.recipe import Recipe

PACKAGES = (
    *("systemd-sysv", "dbus", "openssh-server", "sudo", "python3", "python3-apt", "ca-certificates", "tzdata"),
    *("procps", "kmod", "less", "iproute2", "iputils-ping", "curl", "nftables", "iptables", "chrony", "e2fsprogs"),
    *("python3-pymysql", "python3-requests"),
    *("podman", "python3-podman", "crun", "netavark", "aardvark-dns", "uidmap", "catatonit"),
    *("docker.io", "docker-cli", "python3-docker", "tini"),
)
"""Installed beforehand, so that a node's own ``apt-get install`` has nothing to fetch."""

POLICY = "/usr/sbin/policy-rc.d"


def recipe() -> Recipe:
    """On the bare Debian layer: a node shall not have the settings that keep service images small."""
    return Recipe(
        name="lab-node",
        parent="debian",
        packages=PACKAGES,
        commands=(f"rm {POLICY}",),
        files={POLICY: "#!/bin/sh\nexit 101\n"},
    )


def ensure(release: str, progress: Callable[[str], None]) -> str:
    """The reference of the node image; built when the store lacks it (about a minute). ``release`` "": the newest."""

    from scs_deploy.images.schedule import Event, build_recipe  # every command knows labs, few build

    def show(event: Event) -> None:
        if event.kind in ("start", "warning"):
            progress(f"building the image {event.image} {event.text}".rstrip())

    return build_recipe(recipe(), load_release(release or release_names()[-1]), progress=show).reference
