"""Docker through its own SDK (python3-docker) over the local API socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.types
import requests

from .docker_words import docker_security, docker_tmpfs
from .engine import API_TIMEOUT, LOAD_TIMEOUT, ManagedContainer
from .engine_sdk import SdkEngine, ulimits
from .paths import LABEL_INSTANCE
from .work import Container, Mount


class DockerEngine(SdkEngine):
    """Start time and restart count need one inspect per container: dockerd restarts containers itself, systemd does not see it."""

    not_found = (docker.errors.NotFound,)
    failures = (docker.errors.DockerException, requests.RequestException)

    def __init__(self, socket: str) -> None:
        self.url = f"unix://{socket}"
        with self.speaking():  # it asks dockerd for its version at once
            self.client = docker.DockerClient(base_url=self.url, timeout=API_TIMEOUT)

    def managed(self) -> list[ManagedContainer]:
        with self.speaking():
            found = self.client.containers.list(all=True, filters={"label": LABEL_INSTANCE}, ignore_removed=True)
        return [self._managed(container.attrs) for container in found]

    def images(self, wanted: Iterable[str]) -> list[str]:
        """Asked with one request; the SDK's list takes one more per image."""
        with self.speaking():
            found = {image.removeprefix("sha256:") for image in self.client.api.images(quiet=True)}
        return [image for image in wanted if image in found]

    def known_layers(self, digests: Sequence[str]) -> int:
        with self.speaking():
            stacks = [image.attrs["RootFS"].get("Layers") or [] for image in self.client.images.list()]
        return max((_common(digests, stack) for stack in stacks), default=0)

    def load(self, archive: Iterable[bytes]) -> None:
        with self.speaking(), closing(docker.DockerClient(base_url=self.url, timeout=LOAD_TIMEOUT)) as patient:
            patient.images.load(archive)

    @staticmethod
    def _managed(attrs: dict[str, Any]) -> ManagedContainer:
        labels = attrs["Config"].get("Labels") or {}
        started = attrs["State"].get("StartedAt", "")
        return ManagedContainer(
            id=attrs["Id"],
            instance=labels.get(LABEL_INSTANCE, ""),
            image=attrs.get("Image", "").removeprefix("sha256:"),
            running=bool(attrs["State"].get("Running")),
            labels=labels,
            since=datetime.fromisoformat(started[:19] + "+00:00").timestamp() if started[:4] > "0001" else 0.0,
            restarts=int(attrs.get("RestartCount", 0)),
        )

    def create_options(self, container: Container, labels: dict[str, str], pids_limit: int | None) -> dict[str, Any]:
        limits = container.limits
        options: dict[str, Any] = {
            "name": container.name,
            "environment": dict(container.environment),
            "user": container.user or None,
            "labels": labels,
            "network_mode": "host",
            "cap_drop": ["ALL"],
            "cap_add": list(container.capabilities),
            "devices": list(container.devices),
            "init": container.init,
            "read_only": container.read_only,
            "security_opt": ["no-new-privileges", *map(_readable, docker_security(container.security))],
            "mounts": [_mount(mount) for mount in container.mounts],
            "tmpfs": {path: docker_tmpfs(path, container.user) for path in container.tmpfs},
            "ulimits": [
                docker.types.Ulimit(name=item["Name"], soft=item["Soft"], hard=item["Hard"]) for item in ulimits(limits)
            ],
            "mem_limit": limits.get("memory") or None,
            "shm_size": limits.get("shm") or None,
            "pids_limit": pids_limit,
        }
        namespaces = {"pid_mode": container.pid, "ipc_mode": container.ipc, "cgroupns": container.cgroupns}
        return options | {option: mode for option, mode in namespaces.items() if mode}


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(one, other, strict=False)))


def _readable(option: str) -> str:
    """The API wants a profile's content where the command line takes its path."""
    key, _, value = option.partition("=")
    return f"{key}={Path(value).read_text(encoding='utf-8')}" if key == "seccomp" and value.startswith("/") else option


def _mount(mount: Mount) -> Any:
    return docker.types.Mount(
        target=mount.target,
        source=mount.source,
        type="bind",
        read_only=mount.mode == "ro",
        propagation=mount.propagation or None,
    )
