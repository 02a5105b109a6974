"""What the engine and systemd of a simulated node repeat: containers and units as files below its /run, in the shape that both really have."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine import ManagedContainer
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine_podman import PodmanEngine
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.host import Done, Host
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.paths import labels_file

UNITS, CONTAINERS = "/run/units", "/run/containers"
"""One file per unit, as ``systemctl show`` prints it; one per container, holding the labels it was started with."""

ABSENT = ".absent"


def unit_text(active: str, file_state: str, invocation: str = "", since: int = 0) -> str:
    sub = "running" if active == "active" else "dead"
    stamp = f"@{since}" if since else ""
    return (
        f"LoadState=loaded\nActiveState={active}\nSubState={sub}\nUnitFileState={file_state}\n"
        f"InvocationID={invocation}\nNRestarts=0\nActiveEnterTimestamp={stamp}\n\n"
    )


def absent_text() -> str:
    return "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nInvocationID=\nNRestarts=0\n\n"


def _one_shots(unit: str) -> list[str]:
    """What a unit really does once, such as loading what the module looks at afterwards."""
    lines = unit.splitlines() if "Type=oneshot" in unit else []
    return [line.partition("=")[2].lstrip("-") for line in lines if line.startswith("ExecStart=")]


class RecordedHost(Host):
    """A node while it is made ready: ``systemctl`` does the same as the script of that name, without a process for each call."""

    def run(
        self, argv: Sequence[str], timeout: float = 60, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> Done:
        if argv[0] != "systemctl":
            return super().run(argv, timeout, stdin, env)
        if argv[1] == "show":
            units = argv[argv.index("--") + 1 :]
            return Done(0, "".join(self._unit(name).read_text() for name in units), "")
        if argv[1] == "restart":
            self._restart(argv[2])
        return Done(0, "", "")

    def _unit(self, name: str) -> Path:
        path = self.path(f"{UNITS}/{name}")
        return path if path.exists() else self.path(f"{UNITS}/{ABSENT}")

    def _restart(self, unit: str) -> None:
        for start in _one_shots(self.read(f"/etc/systemd/system/{unit}")):
            super().run(["sh", "-c", start])
        generated = "UnitFileState=generated" in self._unit(unit).read_text()
        state = "generated" if generated else "enabled"
        self.path(f"{UNITS}/{unit}").write_text(unit_text("active", state, uuid4().hex, int(time.time())))
        if generated:
            name = unit.removesuffix(".service")
            self.path(f"{CONTAINERS}/{name}").write_text(self.path(labels_file(name)).read_text())


class RecordedEngine:
    """The engine of a node while it is made ready: the same answers without its socket."""

    def __init__(self, host: Host, image: str) -> None:
        self._folder, self._image = host.path(CONTAINERS), image

    def managed(self) -> list[ManagedContainer]:
        return [PodmanEngine._managed(one) for one in json.loads(containers(self._folder, self._image))]

    def images(self, wanted: Iterable[str]) -> list[str]:
        return [image for image in wanted if image == self._image]

    def exists(self, name: str) -> bool:
        return (self._folder / name).exists()


def containers(folder: Path, image: str) -> bytes:
    """The answer of ``GET /libpod/containers/json`` for the containers recorded below ``folder``."""
    return json.dumps([_container(path, image) for path in sorted(folder.glob("[!.]*"))]).encode()


def _container(path: Path, image: str) -> dict[str, Any]:
    started = path.stat().st_mtime_ns
    return {
        "AutoRemove": True,
        "Command": [path.name, "--config", f"/etc/{path.name}/service.conf"],
        "CreatedAt": "27 minutes ago",
        "CIDFile": f"/run/{path.name}.cid",
        "Exited": False,
        "ExitedAt": -62135596800,
        "ExitCode": 0,
        "Id": hashlib.sha256(f"{path}{started}".encode()).hexdigest(),
        "Image": f"localhost/scs-deploy/{path.name}:2025.1",
        "ImageID": image,
        "IsInfra": False,
        "Labels": {
            "PODMAN_SYSTEMD_UNIT": f"{path.name}.service",
            **dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines()),
        },
        "Mounts": [f"/etc/{path.name}/service.conf", f"/etc/{path.name}/policy.json", "/run", "/tmp"],  # noqa: S108
        "Names": [path.name],
        "Namespaces": {},
        "Networks": [],
        "Pid": 4711,
        "Pod": "",
        "PodName": "",
        "Ports": None,
        "Restarts": 0,
        "Size": None,
        "StartedAt": started // 10**9,
        "State": "running",
        "Status": "Up 27 minutes",
        "Created": started // 10**9,
    }
