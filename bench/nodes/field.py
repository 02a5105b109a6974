"""A number of simulated nodes on this machine, from the controller's side: brought up, deployed for the first time, taken away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from bench.nodes import kernel
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import Work

PREFIX = "scs-scale-"
IMAGE = "localhost/scs-deploy/lab-node:2025.1"
PORT = 2222
ACTIVE = ("chrony.service",)
"""Units that the image brings and facts tell of."""

PACKAGES = "var/lib/dpkg/status"
MORE_PACKAGES = ("python3-yaml",)
"""Of a node's baseline, and not in the image: called installed."""

INSTALLED = """
Package: {}
Status: install ok installed
Maintainer: nobody <nobody@example.org>
Architecture: all
Version: 1
Description: recorded
"""
READY_SECONDS, PRIME_SECONDS, CPU_SECONDS = 60.0, 280.0, 10.0
_HERE = Path(__file__).parent

SSHD = f"""\
Port {PORT}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/simulated_authorized
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
PrintLastLog no
UseDNS no
"""


class FieldError(Exception):
    """The nodes cannot be simulated here; the text says why and what to do."""


def sweep() -> None:
    """Remove folders of runs that were killed; their processes and mounts ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            pid = int((folder / "pid").read_text())
        except (OSError, ValueError):
            pid = 0
        if not pid or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / "pid").write_text(str(os.getpid()))
    return folder


def layers() -> list[str]:
    """Folders of the lab node's image, topmost first; they are only read."""
    if os.geteuid():
        raise FieldError("the nodes have mounts and namespaces of their own: run as root")
    ask = ["podman", "image", "inspect", IMAGE, "--format", "{{json .GraphDriver.Data}}"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FieldError(f"there is no image {IMAGE}: ./quickstart builds it")
    found = json.loads(done.stdout)
    return [found["UpperDir"], *filter(None, found.get("LowerDir", "").split(":"))]


class Field:
    """``with Field(folder, {name: address}, ports): …``; ``key`` is the private key that its nodes accept."""

    def __init__(self, folder: Path, nodes: Mapping[str, str], healthy: list[int], image: str) -> None:
        self.folder, self.nodes = folder, dict(nodes)
        self.key = folder / "id"
        self._config = {"nodes": self.nodes, "healthy": healthy, "image": image, "port": PORT, "active": ACTIVE}
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Field:
        self._common()
        (self.folder / "config.json").write_text(json.dumps({**self._config, "layers": layers()}))
        own = ["unshare", "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._server = subprocess.Popen(
            [*own, sys.executable, "-m", "bench.nodes.server", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_HERE.parents[1],
            start_new_session=True,
            preexec_fn=lambda: kernel.die_with_parent(signal.SIGKILL),
        )
        self._answer(READY_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.kill()
            self._server.communicate()

    @property
    def pid(self) -> int:
        return self._server.pid if self._server else 0

    def facts(self) -> dict[str, Any]:
        """The facts of every node, without SSH and Ansible in between."""
        folder = self.folder / "facts"
        folder.mkdir(exist_ok=True)
        if failed := self._ask("look", PRIME_SECONDS)["failed"]:
            raise FieldError(f"no facts of {', '.join(failed)}: see above")
        return {name: json.loads((folder / f"{name}.json").read_text()) for name in self.nodes}

    def prime(self, payloads: Mapping[str, Work]) -> None:
        """Carry out a converge payload on every node, by the module's own code; raises ``FieldError`` when one fails."""
        folder = self.folder / "prime"
        folder.mkdir(mode=0o700, exist_ok=True)
        for name, payload in payloads.items():
            (folder / name).write_text(wire.encode(payload))
        failed = self._ask("prime", PRIME_SECONDS)["failed"]
        shutil.rmtree(folder)
        if failed:
            raise FieldError(f"the first deployment failed on {', '.join(failed)}: see above")

    def cpu(self) -> float:
        """CPU seconds that everything on the nodes has spent."""
        return float(self._ask("cpu", CPU_SECONDS)["seconds"])

    def known_hosts(self) -> str:
        """All nodes show the same host key."""
        return f"[127.*]:{PORT} {self._public('host')}\n"

    @property
    def _pipes(self) -> tuple[IO[str], IO[str]]:
        if not (self._server and self._server.stdin and self._server.stdout):
            raise FieldError("the nodes are not simulated: enter the field first")
        return self._server.stdin, self._server.stdout

    def _ask(self, command: str, seconds: float) -> dict[str, Any]:
        say, _ = self._pipes
        say.write(command + "\n")
        say.flush()
        return self._answer(seconds)

    def _answer(self, seconds: float) -> dict[str, Any]:
        _, hear = self._pipes
        with _within(seconds, "the simulated nodes"):
            line = hear.readline()
        if not line:
            raise FieldError("the simulated nodes ended: see above")
        return dict(json.loads(line))

    def _common(self) -> None:
        """What all nodes have beside the image: keys, the configuration of their sshd, the recorded systemctl."""
        ssh, programs = self.folder / "common/etc/ssh", self.folder / "common/usr/bin"
        packages = self.folder / "common" / PACKAGES
        for folder in (ssh, programs, packages.parent):
            folder.mkdir(parents=True, exist_ok=True)
        known = next(path for layer in layers() if (path := Path(layer) / PACKAGES).is_file())
        packages.write_text(known.read_text() + "".join(map(INSTALLED.format, MORE_PACKAGES)))
        for name in ("id", "host"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / name)]
            subprocess.run(make, check=True)
        shutil.copy(self.folder / "host", ssh / "ssh_host_ed25519_key")
        (ssh / "simulated_authorized").write_text(self._public("id") + "\n")
        (ssh / "simulated").write_text(SSHD)
        shutil.copy(_HERE / "systemctl", programs / "systemctl")

    def _public(self, name: str) -> str:
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])


class _within:  # noqa: N801 - used as a function
    """Raise ``FieldError`` when the body takes longer."""

    def __init__(self, seconds: float, what: str) -> None:
        self.seconds, self.what = seconds, what

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._late)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _late(self, *_: object) -> None:
        raise FieldError(f"{self.what} did not answer within {self.seconds:.0f} s")
