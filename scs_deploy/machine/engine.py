"""The controller's own container engine: found, and adapted to this machine by its facts, never by its files.

Podman gets settings of our own through ``CONTAINERS_CONF``; the machine's containers.conf is neither read nor changed. Queries go
through the engines' SDKs (one API for both), builds and streams through the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scs_deploy.errors import DeployError
from scs_deploy.machine.files import write_atomic
from scs_deploy.machine.paths import state_dir
from scs_deploy.machine.waiting import wait_for

ENGINE_ULIMIT = 1048576
"""Podman's built-in default for nofile and nproc; above a machine's hard limit every container start fails."""

SERVICE_IDLE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """What the engine's settings depend on. Limits are hard limits of this process; -1 means none."""

    unified_cgroups: bool
    systemd: bool
    runc: str
    nofile: int
    nproc: int


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in the engine's store; ``id`` is the config digest, 64 hex digits without a prefix."""

    id: str
    references: tuple[str, ...]
    labels: dict[str, str]
    created: str


@dataclass(frozen=True, slots=True)
class EngineProgram:
    """The command-line program of Podman or Docker; both take the arguments used here."""

    kind: Literal["podman", "docker"]
    binary: str

    def env(self) -> dict[str, str]:
        return podman_env() if self.kind == "podman" else dict(os.environ)

    def run(
        self, args: Sequence[str], *, stdin: str | None = None, timeout: float | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one command; ``timeout`` in seconds. Raises DeployError with the engine's own words when it fails."""
        command = [self.binary, *args]
        try:
            done = subprocess.run(
                command, env=self.env(), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise DeployError(
                f"{self.kind} {args[0]} did not end within {timeout:g} s",
                where="controller",
                fix=f"look at `{self.kind} ps -a` and the machine's load, then run again",
            ) from error
        if check and done.returncode:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-20:])
            raise DeployError(
                f"{self.kind} {args[0]} failed with exit code {done.returncode}", where="controller", why=tail
            )
        return done

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A client of the engine's SDK; for Podman on a private API service that lives as long as the context."""
        if self.kind == "docker":
            import docker

            docker_client = docker.from_env()
            try:
                yield docker_client
            finally:
                docker_client.close()
            return
        import podman as sdk

        with _podman_service(self) as url, sdk.PodmanClient(base_url=url) as podman_client:
            yield podman_client

    def images(self, label: str = "") -> tuple[StoredImage, ...]:
        """Images in the store, newest first; only those that carry ``label`` (key or key=value) when given."""
        filters = ["--filter", f"label={label}"] if label else []
        found = self.run(["image", "ls", "--quiet", "--no-trunc", *filters]).stdout.split()
        ids = list(dict.fromkeys(_bare(image) for image in found))
        if not ids:
            return ()
        inspected = json.loads(self.run(["image", "inspect", *ids]).stdout)
        return tuple(
            StoredImage(
                id=_bare(image["Id"]),
                references=tuple(image.get("RepoTags") or ()),
                labels=(image.get("Config") or {}).get("Labels") or {},
                created=str(image.get("Created", "")),
            )
            for image in inspected
        )

    def image_id(self, reference: str) -> str:
        """The image ID of a reference, or "" when the store does not hold it."""
        done = self.run(["image", "inspect", "--format", "{{.Id}}", reference], check=False)
        return _bare(done.stdout.strip()) if done.returncode == 0 else ""

    def store_path(self) -> Path:
        """The folder of the engine's image store, for nodes that share it."""
        wanted = "{{.Store.GraphRoot}}" if self.kind == "podman" else "{{.DockerRootDir}}"
        return Path(self.run(["info", "--format", wanted]).stdout.strip())


def find_engine() -> EngineProgram:
    """``$SCS_DEPLOY_ENGINE`` (podman or docker), else Podman, else Docker. Raises DeployError when there is neither."""
    asked = os.environ.get("SCS_DEPLOY_ENGINE", "")
    if asked not in ("", "podman", "docker"):
        raise DeployError(f"SCS_DEPLOY_ENGINE={asked} is not an engine", fix="set it to podman or docker, or unset it")
    kinds: tuple[Literal["podman", "docker"], ...] = ("podman", "docker")
    for kind in kinds:
        if asked in ("", kind) and (binary := shutil.which(kind)):
            return EngineProgram(kind, binary)
    raise DeployError(
        f"no {asked or 'container engine'} on this machine",
        where="controller",
        why="images and lab nodes are made by Podman or Docker",
        fix="install one: apt-get install podman",
    )


def podman(
    args: Sequence[str], *, stdin: str | None = None, timeout: float | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the controller's Podman with our settings; raises DeployError with its error text."""
    binary = shutil.which("podman")
    if not binary:
        raise DeployError("podman is not installed", where="controller", fix="apt-get install podman")
    return EngineProgram("podman", binary).run(args, stdin=stdin, timeout=timeout, check=check)


def store_path() -> Path:
    return find_engine().store_path()


def podman_env() -> dict[str, str]:
    """The environment for every Podman command of ours: this one's with CONTAINERS_CONF set to our own file."""
    path = state_dir() / "engine" / "containers.conf"
    text = containers_conf(machine_facts())
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomic(path, text, sync=False)
    return {**os.environ, "CONTAINERS_CONF": str(path)}


def machine_facts() -> MachineFacts:
    # Podman lowers its own nproc limit to pid_max when it starts, so a higher value could not be given to a container.
    nproc = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="utf-8"))
    return MachineFacts(
        unified_cgroups=Path("/sys/fs/cgroup/cgroup.controllers").exists(),
        systemd=Path("/run/systemd/system").is_dir(),
        runc=shutil.which("runc") or "",
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        nproc=min(nproc, pid_max) if nproc >= 0 else pid_max,
    )


def containers_conf(facts: MachineFacts) -> str:
    """The text of containers.conf for a machine. Raises DeployError when no runtime can work on its cgroups."""
    containers = ["http_proxy = false"]  # the controller's way to the internet is not that of a lab node or an image
    engine: list[str] = []
    limits = {"nofile": facts.nofile, "nproc": facts.nproc}
    if any(0 <= limit < ENGINE_ULIMIT for limit in limits.values()):
        # Naming one limit drops the default of the other, so both are named.
        values = {name: min(limit, ENGINE_ULIMIT) if limit >= 0 else ENGINE_ULIMIT for name, limit in limits.items()}
        listed = ", ".join(f'"{name}={value}:{value}"' for name, value in values.items())
        containers.append(f"default_ulimits = [{listed}]")
    if not facts.unified_cgroups:
        if not facts.runc:
            raise DeployError(
                "this machine has no unified cgroup v2 tree and no runc",
                where="controller",
                why="crun, Podman's usual runtime, refuses hybrid cgroups",
                fix="apt-get install runc",
            )
        engine.append('runtime = "runc"')
    if not facts.systemd:
        engine += ['cgroup_manager = "cgroupfs"', 'events_logger = "file"']
    lines = ["[containers]", *containers, "[engine]", *engine]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _podman_service(engine: EngineProgram) -> Iterator[str]:
    """A Podman API service on a socket of our own; it ends with the context, or by itself once idle for a minute."""
    # Not in the state folder: the kernel limits a socket's path to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="scs-"))
    socket = folder / "api.sock"
    url = f"unix://{socket}"
    process = subprocess.Popen(
        [engine.binary, "system", "service", f"--time={SERVICE_IDLE_SECONDS}", url],
        env=engine.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_for(lambda: socket.exists() or process.poll() is not None, 10, pause=0.01)
        if not socket.exists():
            process.kill()
            why = process.communicate()[1].decode(errors="replace").strip()
            raise DeployError("podman's API service did not start", where="controller", why=why)
        yield url
    finally:
        process.terminate()
        process.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _bare(image_id: str) -> str:
    return image_id.removeprefix("sha256:")
