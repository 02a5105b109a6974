"""What a description says in Podman's words, in Docker's: for units, which the controller writes, and jobs, which the node runs."""

from __future__ import annotations

from collections.abc import Iterable

_FOR_ALL = ("/tmp", "/dev/shm")  # noqa: S108 - inside a container


def docker_security(options: Iterable[str]) -> list[str]:
    """Docker cannot lay open single paths of /proc and /sys, only all of those that it hides."""
    return ["systempaths=unconfined" if option.startswith("unmask=") else option for option in options]


def docker_tmpfs(path: str, user: str) -> str:
    """Options of a tmpfs that the container's user (``uid:gid``) may write to; Podman takes them from the image's folder."""
    if path in _FOR_ALL:
        return "mode=1777"
    uid, _, gid = user.partition(":")
    return f"mode=0755,uid={uid},gid={gid}"
