"""Podman through its own SDK (python3-podman) over the local API socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import podman
import podman.errors
import requests

from .engine import API_TIMEOUT, LOAD_TIMEOUT, ManagedContainer
from .engine_sdk import SdkEngine, split_security, ulimits
from .paths import LABEL_INSTANCE
from .work import Container, Mount


class PodmanEngine(SdkEngine):
    """Containers are one request: Podman's list already tells image ID, labels and start time."""

    not_found = (podman.errors.NotFound,)
    failures = (podman.errors.PodmanError, podman.errors.APIError, requests.RequestException)

    def __init__(self, socket: str) -> None:
        self.url = f"http+unix://{socket}"
        self.client = podman.PodmanClient(base_url=self.url, timeout=API_TIMEOUT)

    def managed(self) -> list[ManagedContainer]:
        with self.speaking():
            found = self.client.containers.list(all=True, filters={"label": LABEL_INSTANCE}, ignore_removed=True)
        return [self._managed(container.attrs) for container in found]

    def images(self, wanted: Iterable[str]) -> list[str]:
        """Asked one by one: for a list of all of them Podman adds up their sizes, which takes it a hundred times as long."""
        with self.speaking():
            return [image for image in wanted if self.client.images.exists(image)]

    def known_layers(self, digests: Sequence[str]) -> int:
        """None: Podman takes an archive as a whole."""
        return 0

    def load(self, archive: Iterable[bytes]) -> None:
        with self.speaking(), podman.PodmanClient(base_url=self.url, timeout=LOAD_TIMEOUT) as patient:
            patient.images.load(archive)  # type: ignore[arg-type]  # the SDK asks for bytes and sends pieces on

    @staticmethod
    def _managed(attrs: dict[str, Any]) -> ManagedContainer:
        labels = attrs.get("Labels") or {}
        return ManagedContainer(
            id=attrs["Id"],
            instance=labels.get(LABEL_INSTANCE, ""),
            image=attrs.get("ImageID", "").removeprefix("sha256:"),
            running=attrs.get("State") == "running",
            labels=labels,
            since=float(attrs.get("StartedAt") or 0),
        )

    def create_options(self, container: Container, labels: dict[str, str], pids_limit: int | None) -> dict[str, Any]:
        security = split_security(container.security)
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
            "read_write_tmpfs": False,
            "no_new_privileges": True,
            "mounts": [_mount(mount) for mount in container.mounts]
            + [{"type": "tmpfs", "source": "tmpfs", "target": path} for path in container.tmpfs],
            "seccomp_profile_path": security.get("seccomp"),
            "apparmor_profile": security.get("apparmor"),
            "unmasked_paths": security["unmask"].split(":") if "unmask" in security else None,
            "ulimits": ulimits(limits),
            "mem_limit": limits.get("memory") or None,
            "shm_size": limits.get("shm") or None,
            "pids_limit": pids_limit,
        }
        namespaces = {"pid_mode": container.pid, "ipc_mode": container.ipc, "cgroupns": container.cgroupns}
        options |= {option: mode for option, mode in namespaces.items() if mode}
        if "label" in security:
            options["security_opt"] = [security["label"]]
        return options


def _mount(mount: Mount) -> dict[str, Any]:
    made = {
        "type": "bind",
        "source": mount.source,
        "target": mount.target,
        "read_only": mount.mode == "ro",
    }
    return {**made, "propagation": mount.propagation} if mount.propagation else made
