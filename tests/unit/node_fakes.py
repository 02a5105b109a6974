"""A node in a temporary folder: a real file system, and systemd and an engine that behave like theirs.

``observe`` and ``converge`` are asked, and answer, as JSON data that has gone over the wire.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import converge as converge_module
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import observe as observe_module
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.engine import Ended, ManagedContainer
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.failure import StepError
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.host import NOT_FOUND, Done, Host
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.node import LocalNode
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.paths import (
    QUADLET_ROOT,
    UNIT_ROOT,
    labels_file,
    unit_file,
)
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Answer, Question
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.systemd import Systemd, Unit
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Container, Outcome, Work

IMAGE = "a" * 64
UID, GID = os.getuid(), os.getgid()
_numbers = itertools.count(1)


class FakeHost(Host):
    """Commands answer from a table; the clock moves only when somebody sleeps."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.answers: dict[str, Done] = {}
        self.ran: list[list[str]] = []
        self.clock = 1_000.0

    def run(self, argv: Sequence[str], timeout: float = 60, stdin: str = "", env: Any = None) -> Done:
        self.ran.append(list(argv))
        return self.answers.get(argv[0], Done(NOT_FOUND, "", f"{argv[0]}: not found"))

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds


@dataclass
class FakeEngine:
    """Containers appear when a unit starts; jobs end with what ``job`` says."""

    containers: dict[str, ManagedContainer] = field(default_factory=dict)
    store: list[str] = field(default_factory=lambda: [IMAGE])
    job: Ended = field(default_factory=lambda: Ended(0, ["fine"]))
    leftover_ends: bool = True
    calls: list[str] = field(default_factory=list)

    def managed(self) -> list[ManagedContainer]:
        return list(self.containers.values())

    def images(self, wanted: Iterable[str]) -> list[str]:
        return [image for image in wanted if image in self.store]

    def start_job(
        self, container: Container, labels: dict[str, str], timeout: float, pids_limit: int | None
    ) -> Callable[[], Ended]:
        self.calls.append(f"job {container.name} pids={pids_limit}")

        def end() -> Ended:
            self.calls.append(f"ended {container.name}")
            return self.job

        return end

    def await_gone(self, name: str, timeout: float) -> bool:
        self.calls.append(f"await {name}")
        return self.leftover_ends

    def exists(self, name: str) -> bool:
        return name in self.containers

    def remove(self, name: str) -> bool:
        return self.containers.pop(name, None) is not None

    def signal(self, name: str, signal: str) -> None:
        self.calls.append(f"{signal} {name}")

    def execute(self, name: str, argv: Sequence[str]) -> Done:
        return Done(0, "", "")


class FakeSystemd(Systemd):
    """Knows the units on disk as of the last daemon-reload; a start gives a container the labels that its file holds then."""

    def __init__(self, host: FakeHost, engine: FakeEngine, docker: FakeEngine | None = None) -> None:
        super().__init__(host)
        self.engine, self.docker = engine, docker or engine
        self.units: dict[str, Unit] = {}
        self.read: dict[str, str] = {}
        self.broken: set[str] = set()
        self.verbs: list[str] = []

    def show(self, units: Any) -> dict[str, Unit]:
        return {name: self.units.get(name, Unit()) for name in units}

    def daemon_reload(self) -> None:
        self._note("daemon-reload")
        folder = self.host.path(QUADLET_ROOT)
        for path in folder.glob("[!.]*.container") if folder.is_dir() else []:
            self.read[path.stem] = path.read_text()
            self.units.setdefault(f"{path.stem}.service", Unit(load="loaded", file_state="generated"))
        plain = self.host.path(UNIT_ROOT)
        for path in plain.glob("[!.]*.service") if plain.is_dir() else []:
            if self.units.get(path.name, Unit(file_state="generated")).file_state == "generated":
                self.units[path.name] = Unit(load="loaded", file_state="disabled")
        for name, unit in list(self.units.items()):
            if unit.file_state in ("enabled", "disabled") and not (plain / name).exists():
                generated = (folder / f"{name.removesuffix('.service')}.container").exists()
                self.units[name] = replace(unit, file_state="generated" if generated else unit.file_state)
            if unit.file_state == "generated" and not (folder / f"{name.removesuffix('.service')}.container").exists():
                del self.units[name]
        self.loaded = True

    def restart(self, unit: str, timeout: float) -> None:
        self._note(f"restart {unit}")
        name = unit.removesuffix(".service")
        if unit in self.broken:
            self.units[unit] = replace(self.units[unit], active="failed", sub="failed")
            self.engine.containers.pop(name, None)
            raise StepError(f"systemctl restart {unit} failed", why="exit code 1", log=["cannot bind"])
        number = next(_numbers)
        self.units[unit] = replace(
            self.units[unit], active="active", sub="running", invocation=f"i{number}", since=float(number)
        )
        if self.units[unit].file_state == "generated":
            lines = self.host.read(labels_file(name)).splitlines()
            labels = dict(line.split("=", 1) for line in lines)
            stale = self.read[name] != self.host.read(f"{QUADLET_ROOT}/{name}.container") + "\n"
            self.engine.containers[name] = ManagedContainer(
                f"c{number}", name, "of a stale unit" if stale else IMAGE, True, labels, float(number)
            )
        elif (self.host.path(UNIT_ROOT) / unit).exists():
            labels = dict(line.split("=", 1) for line in self.host.read(labels_file(name)).splitlines())
            self.docker.containers[name] = ManagedContainer(f"c{number}", name, IMAGE, True, labels, float(number))

    def stop(self, unit: str, timeout: float) -> None:
        """Ends what the unit that systemd knows has started; a container of another engine it does not reach."""
        self._note(f"stop {unit}")
        engine = self.engine if self.units[unit].file_state == "generated" else self.docker
        self.units[unit] = replace(self.units[unit], active="inactive", sub="dead", invocation="")
        engine.containers.pop(unit.removesuffix(".service"), None)

    def enable(self, unit: str) -> None:
        self._note(f"enable {unit}")
        self.units[unit] = replace(self.units[unit], file_state="enabled")

    def unmask(self, unit: str) -> None:
        self._note(f"unmask {unit}")
        self.units[unit] = replace(self.units[unit], load="loaded", file_state="generated")

    def disable(self, unit: str) -> None:
        self._note(f"disable {unit}")
        self.units[unit] = replace(self.units[unit], file_state="disabled")

    def reload(self, unit: str) -> None:
        self._note(f"reload {unit}")

    def kill(self, unit: str, signal: str) -> None:
        self._note(f"{signal} {unit}")

    def journal(self, unit: str, container: str = "", lines: int = 15) -> list[str]:
        return [f"{unit}: cannot bind"]

    def generator_log(self, unit: str) -> list[str]:
        return ["unsupported key"]

    def _note(self, verb: str) -> None:
        self.verbs.append(verb)


class FakeNode(LocalNode):
    """All of it together."""

    host: FakeHost
    systemd: FakeSystemd

    def __init__(self, root: Path, opener: Callable[[], FakeEngine] | None = None) -> None:
        """``opener`` gives the wanted engine, or raises what its absence raises."""
        self.fake = FakeEngine()
        host = FakeHost(root)
        super().__init__(host, FakeSystemd(host, self.fake), lambda kind: opener() if opener else self.fake, "podman")

    def turn(self, kind: str, docker: Callable[[], FakeEngine]) -> None:
        """From now on another engine is wanted; ``docker`` gives Docker, or raises what its absence raises."""
        self.kind, self._engines = kind, {}
        self._opener = lambda asked: docker() if asked == "docker" else self.fake

    def again(self) -> None:
        """A new process on the same node: it has not reloaded systemd itself."""
        self.systemd.loaded = False


@dataclass
class Wanted:
    """An instance as the controller wants it; gives both payloads, as the controller would."""

    name: str = "cache"
    texts: dict[str, str] = field(
        default_factory=lambda: {"/etc/scs-deploy/cache/etc/cache.conf": "port = 1\npassword = s3cret\n"}
    )
    kind: str = "container"
    unit: str = "cache.service"
    start: str = "s1"
    reload: str = "r1"
    health: dict[str, Any] = field(default_factory=lambda: {"unit": True, "timeout": 5})
    packages: list[str] = field(default_factory=list)
    apply: list[str] = field(default_factory=list)
    mode: str = "0640"
    engine: str = "podman"

    @property
    def files(self) -> dict[str, str]:
        text = f"[Container]\nImage={IMAGE}\n# {self.start}\n"
        return self.texts | ({unit_file(self.engine, self.name): text} if self.kind == "container" else {})

    @property
    def data(self) -> str:
        return f"/var/lib/scs-deploy/data/{self.name}/db"

    def expected(self) -> dict[str, Any]:
        host = self.kind == "host"
        return {
            "kind": self.kind,
            "unit": self.unit,
            "files": {
                path: [hashlib.sha256(text.encode()).hexdigest(), self.mode, UID, GID]
                for path, text in self.files.items()
            },
            "mask": {path: ["password"] for path in self.files},
            "opaque": [],
            "health": self.health,
            "start": self.start,
            "reload": self.reload,
        } | ({"packages": self.packages} if host else {"dirs": {self.data: ["0750", UID, GID]}})

    def step(self, action: str = "update", **changes: Any) -> dict[str, Any]:
        only = changes.pop("only", self.files)
        container = {
            "image": IMAGE,
            "image_reference": f"localhost/{self.name}",
            "dirs": {self.data: ["0750", UID, GID]},
        }
        host = {"packages": self.packages, "apply": self.apply}
        instance = {
            **(host if self.kind == "host" else container),
            "name": self.name,
            "kind": self.kind,
            "unit": self.unit,
            "files": [
                {"path": path, "text": text, "mode": self.mode, "uid": UID, "gid": GID}
                for path, text in self.files.items()
                if path in only
            ],
            "delete": changes.pop("delete", []),
            "manifest": {"unit": self.unit, "kind": self.kind, "files": list(self.files), "data": [self.data]},
            "start": self.start,
            "reload": self.reload,
            "health": self.health,
            "stop_timeout": 1,
            "reload_action": changes.pop("reload_action", None),
        }
        common = {"id": f"n1/{self.name}", "needs": changes.pop("needs", [])}
        if action == "remove":
            gone = {key: instance[key] for key in ("name", "manifest", "delete")}
            return common | {"kind": "remove", **gone, "purge": changes.pop("purge", False)}
        given = {"restart": True, "reload": False, "start_if_stopped": True} | changes
        return common | {"kind": "instance", "action": action, "instance": instance} | given


def job_container(name: str) -> dict[str, Any]:
    return {"name": name, "image": IMAGE, "command": ["true"], "user": "", "environment": {}, "mounts": []}


def looked(*wanted: Wanted, **more: Any) -> dict[str, Any]:
    instances = {one.name: one.expected() for one in wanted}
    return {
        "engine": "podman",
        "facts_digest": "",
        "instances": instances,
        "jobs": {},
        "owners": {},
        "images": [],
    } | more


def wave(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"run": "r", "wave": 1, "engine": "podman", "holder": "me@here", "steps": list(steps)}


def observe(question: dict[str, Any], node: LocalNode) -> dict[str, Any]:
    asked = wire.decode(Question, wire.encode(wire.load(Question, question)))
    return sent(Answer, observe_module.observe(asked, node))


def converge(work: dict[str, Any], node: LocalNode) -> dict[str, Any]:
    asked = wire.decode(Work, wire.encode(wire.load(Work, work)))
    return sent(Outcome, converge_module.converge(asked, node))


def sent(kind: type, message: Any) -> dict[str, Any]:
    """The JSON data of a message that has gone over the wire."""
    got = wire.decode(kind, wire.encode(message))
    assert got == wire.load(kind, json.loads(wire.dumps(message)))
    data: dict[str, Any] = json.loads(json.dumps(asdict(got)))
    return data
