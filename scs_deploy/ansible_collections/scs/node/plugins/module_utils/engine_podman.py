"""Podman through its own SDK (python3-podman) over the local API socket."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import podman
import podman.errors
import requests

from .engine import API_TIMEOUT, LOAD_TIMEOUT, Managed
from .engine_sdk import SdkEngine, split_security, ulimits
from .paths import LABEL_INSTANCE


class PodmanEngine(SdkEngine):
    """Lists are one request each: Podman's list already tells image ID, labels and start time."""

    not_found = (podman.errors.NotFound,)
    failures = (podman.errors.PodmanError, podman.errors.APIError, requests.RequestException)

    def __init__(self, socket: str) -> None:
        self.url = f"http+unix://{socket}"
        self.client = podman.PodmanClient(base_url=self.url, timeout=API_TIMEOUT)

    def managed(self) -> list[Managed]:
        with self.speaking():
            found = self.client.containers.list(all=True, filters={"label": LABEL_INSTANCE}, ignore_removed=True)
        return [self._managed(container.attrs) for container in found]

    def known_layers(self, digests: Sequence[str]) -> int:
        """None: Podman takes an archive as a whole."""
        return 0

    def load(self, archive: Iterable[bytes]) -> None:
        with self.speaking(), podman.PodmanClient(base_url=self.url, timeout=LOAD_TIMEOUT) as patient:
            patient.images.load(archive)  # type: ignore[arg-type]  # the SDK asks for bytes and sends pieces on

    @staticmethod
    def _managed(attrs: dict[str, Any]) -> Managed:
        labels = attrs.get("Labels") or {}
        return Managed(
            id=attrs["Id"],
            instance=labels.get(LABEL_INSTANCE, ""),
            image=attrs.get("ImageID", "").removeprefix("sha256:"),
            running=attrs.get("State") == "running",
            labels=labels,
            since=float(attrs.get("StartedAt") or 0),
        )

    def create_options(
        self, container: dict[str, Any], labels: dict[str, str], pids_limit: int | None
    ) -> dict[str, Any]:
        security = split_security(container.get("security", []))
        limits = container.get("limits", {})
        options: dict[str, Any] = {
            "name": container["name"],
            "environment": container.get("environment", {}),
            "user": container.get("user") or None,
            "labels": labels,
            "network_mode": container.get("network", "host"),
            "cap_drop": ["ALL"],
            "cap_add": container.get("capabilities", []),
            "devices": container.get("devices", []),
            "init": container.get("init", True),
            "read_only": container.get("read_only", True),
            "read_write_tmpfs": False,
            "no_new_privileges": True,
            "mounts": [_mount(mount) for mount in container.get("mounts", [])]
            + [{"type": "tmpfs", "source": "tmpfs", "target": path} for path in container.get("tmpfs", [])],
            "seccomp_profile_path": security.get("seccomp"),
            "apparmor_profile": security.get("apparmor"),
            "unmasked_paths": security["unmask"].split(":") if "unmask" in security else None,
            "ulimits": ulimits(limits),
            "mem_limit": limits.get("memory") or None,
            "shm_size": limits.get("shm") or None,
            "pids_limit": pids_limit,
        }
        namespaces = {"pid_mode": "pid", "ipc_mode": "ipc", "cgroupns": "cgroupns"}
        options |= {option: container[key] for option, key in namespaces.items() if container.get(key)}
        if "label" in security:
            options["security_opt"] = [security["label"]]
        return options


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    made = {
        "type": "bind",
        "source": mount["source"],
        "target": mount["target"],
        "read_only": mount.get("mode", "ro") == "ro",
    }
    return {**made, "propagation": mount["propagation"]} if mount.get("propagation") else made
