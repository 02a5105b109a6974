"""All simulated nodes in one process: gives each a root, network and name, hands SSH connections to an sshd inside, plays its engine.

Usage: server.py FOLDER, as the first process of a process namespace, in a mount namespace of its own: ``field.Field`` starts it so, and all
that it made is gone when it ends, however it ends. Reads commands from stdin (``prime``, ``cpu``), answers with a line of JSON each.
"""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401 - nothing can be imported any more once a child lives in a node
import json
import os
import resource
import selectors
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.nodes import kernel, recorded
from scs_deploy.ansible_collections.scs.node.plugins.module_utils import facts, packages, wire
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.converge import converge
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.node import LocalNode
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Health
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.systemd import Systemd
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.work import InstanceStep, Work, WorkStep

SOCKET = "podman/podman.sock"
SSHD = ["/usr/sbin/sshd", "-i", "-e", "-f", "/etc/ssh/simulated"]
_PRIMERS = 2
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Simulated:
    """A node: its folder (``upper``, ``work``, ``root``, ``run``) and open descriptors of its namespaces."""

    name: str
    address: str
    folder: Path
    mounts: int = -1
    network: int = -1
    names: int = -1

    def enter(self) -> None:
        kernel.setns(self.names)
        kernel.setns(self.network)
        kernel.setns(self.mounts)


class FieldServer:
    """``config.json`` of the folder says which nodes there are and what they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self.selector = selectors.DefaultSelector()
        self.nodes: list[Simulated] = []
        self.log = os.open(folder / "sshd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.waiting: list[Simulated] = []
        self.task: Callable[[Simulated], None] = self._prime
        self.primers: dict[int, str] = {}
        self.failed: list[str] = []
        self.commands = b""

    def run(self) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        made = self.folder / "nodes"
        made.mkdir(exist_ok=True)
        kernel.mount("tmpfs", made, "tmpfs", kernel.NOSUID, "mode=0755,size=75%")
        _devices(made / "dev")
        for name, address in self.config["nodes"].items():
            self.nodes.append(self._bring_up(Simulated(name, address, made / name)))
        self._on(sys.stdin.fileno(), self._command)
        _say({"ready": len(self.nodes)})
        while True:
            for key, _ in self.selector.select(timeout=0.02 if self.primers else 1.0):
                key.data()
            self._reap()

    def _bring_up(self, node: Simulated) -> Simulated:
        for part in ("upper", "work", "root", f"run/{Path(SOCKET).parent}", "run/units", "run/containers", "run/sshd"):
            (node.folder / part).mkdir(parents=True)
        (node.folder / "run/units" / recorded.ABSENT).write_text(recorded.absent_text())
        for unit in self.config["active"]:
            (node.folder / "run/units" / unit).write_text(recorded.unit_text("active", "enabled", "0" * 32, 1))
        ready, told = os.pipe()
        held, release = os.pipe()
        child = os.fork()
        if child == 0:
            with _no_return():
                self._isolate(node)
                os.write(told, b".")
                os.close(release)
                os.read(held, 1)
                os._exit(0)
        os.close(told)
        if not os.read(ready, 1):
            raise SystemExit(f"node {node.name} did not come up")
        node.mounts, node.network, node.names = (
            os.open(f"/proc/{child}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("mnt", "net", "uts")
        )
        for descriptor in (ready, held, release):
            os.close(descriptor)
        os.waitpid(child, 0)
        self._listen(_tcp(node.address, self.config["port"]), lambda link: self._sshd(node, link))
        with kernel.network_of(node.network):
            for port in self.config["healthy"]:
                self._listen(_tcp(node.address, port), socket.socket.close)
        self._listen(_unix(node.folder / "run", SOCKET), lambda link: EngineConversation(self, node, link))
        return node

    def _isolate(self, node: Simulated) -> None:
        kernel.unshare(kernel.NEWNS | kernel.NEWNET | kernel.NEWUTS)
        kernel.mount("none", "/", flags=kernel.REC | kernel.PRIVATE)
        lower = ":".join([str(self.folder / "common"), *self.config["layers"]])
        root, made = node.folder / "root", node.folder
        kernel.mount(
            "overlay", root, "overlay", data=f"lowerdir={lower},upperdir={made / 'upper'},workdir={made / 'work'}"
        )
        kernel.mount("proc", root / "proc", "proc")
        kernel.mount("sysfs", root / "sys", "sysfs", kernel.RDONLY)
        kernel.mount(str(made.parent / "dev"), root / "dev", flags=kernel.BIND)
        kernel.mount(str(made / "run"), root / "run", flags=kernel.BIND)
        kernel.enter_root(root)
        kernel.loopback_up()
        socket.sethostname(node.name)

    # -- connections ---------------------------------------------------------------------------------------------------

    def _on(self, descriptor: int | socket.socket, act: Callable[[], Any]) -> None:
        self.selector.register(descriptor, selectors.EVENT_READ, act)

    def _listen(self, listener: socket.socket, take: Callable[[socket.socket], Any]) -> None:
        def accept() -> None:
            with contextlib.suppress(BlockingIOError):
                take(listener.accept()[0])

        self._on(listener, accept)

    def _sshd(self, node: Simulated, link: socket.socket) -> None:
        if os.fork() == 0:
            with _no_return():
                node.enter()
                os.setsid()
                os.dup2(link.fileno(), 0)
                os.dup2(link.fileno(), 1)
                os.dup2(self.log, 2)
                environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
                os.execve(SSHD[0], SSHD, environment)  # noqa: S606 - no shell is wanted
        link.close()

    # -- commands ------------------------------------------------------------------------------------------------------

    def _command(self) -> None:
        got = os.read(sys.stdin.fileno(), 4096)
        if not got:
            raise SystemExit
        *lines, self.commands = (self.commands + got).split(b"\n")
        for line in lines:
            if line == b"cpu":
                _say({"seconds": _spent()})
            elif line in (b"look", b"prime"):
                self.task = self._look if line == b"look" else self._prime
                self.waiting, self.failed = list(self.nodes), []
                self._reap()

    def _reap(self) -> None:
        busy = bool(self.primers or self.waiting)
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                name = self.primers.pop(ended[0], "")
                if name and ended[1]:
                    self.failed.append(name)
        while self.waiting and len(self.primers) < _PRIMERS:
            node = self.waiting.pop()
            pid = os.fork()
            if pid == 0:
                with _no_return():
                    self.task(node)
                    os._exit(0)
            self.primers[pid] = node.name
        if busy and not self.primers:
            _say({"failed": self.failed})

    def _look(self, node: Simulated) -> None:
        """Facts as the module gathers them there; only the Python is another, and told by the node's own."""
        with (self.folder / "facts" / f"{node.name}.json").open("w") as told:
            node.enter()
            host = recorded.RecordedHost()
            units = Systemd(host).show(facts.NTP_UNITS)
            found = facts.gather(host, packages.versions(host, facts.ENGINE_PACKAGES), units)
            version = host.run(["/usr/bin/python3", "-c", "import platform; print(platform.python_version())"])
            told.write(json.dumps({**found, "python": version.out.strip()}))

    def _prime(self, node: Simulated) -> None:
        """The first deployment, by the module's own code, without SSH and Ansible in between."""
        work = wire.decode(Work, (self.folder / "prime" / node.name).read_text())
        os.fsync = lambda descriptor: None  # type: ignore[assignment]
        node.enter()
        host = recorded.RecordedHost()
        steps: list[WorkStep] = []
        for step in work.steps:
            assert isinstance(step, InstanceStep)
            one = step.instance
            state = "generated" if one.kind == "container" else "enabled"
            if one.unit:
                host.path(f"{recorded.UNITS}/{one.unit}").write_text(recorded.unit_text("inactive", state))
            # The packages are there, and its port is answered from the outset.
            there = replace(one, packages=()) if one.kind == "host" else one
            steps.append(replace(step, instance=replace(there, health=Health())))
        engine: Any = recorded.RecordedEngine(host, self.config["image"])
        outcome = converge(replace(work, steps=steps), LocalNode(host, Systemd(host), lambda kind: engine, "podman"))
        bad = [one for one in outcome.results if one.status == "failed"]
        if bad or outcome.lock:
            raise RuntimeError(str(bad or outcome))


class EngineConversation:
    """One connection to the engine of a node: requests one after the other, answers from what is recorded."""

    def __init__(self, server: FieldServer, node: Simulated, link: socket.socket) -> None:
        self.server, self.node, self.link = server, node, link
        self.got = b""
        server._on(link, self.read)

    def read(self) -> None:
        try:
            got = self.link.recv(65536)
        except OSError:
            got = b""
        if not got:
            self.server.selector.unregister(self.link)
            self.link.close()
            return
        self.got += got
        while b"\r\n\r\n" in self.got:
            head, _, self.got = self.got.partition(b"\r\n\r\n")
            self.link.sendall(self.answer(head.split(b" ", 2)[1].decode()))

    def answer(self, target: str) -> bytes:
        image, path = self.server.config["image"], target.partition("?")[0]
        if path.endswith("/containers/json"):
            body = recorded.containers(self.node.folder / "run/containers", image)
        elif path.endswith(f"/images/{image}/exists"):
            return b"HTTP/1.1 204 No Content\r\n\r\n"
        else:
            said = json.dumps({"message": f"not recorded: {path}", "cause": "", "response": 404}).encode()
            return _http("404 Not Found", said)
        return _http("200 OK", body)


def _http(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _tcp(address: str, port: int) -> socket.socket:
    return _listening(socket.socket(), (address, port))


def _unix(folder: Path, name: str) -> socket.socket:
    """Bound from inside the folder: the path of a socket may not be long."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        return _listening(socket.socket(socket.AF_UNIX), name)
    finally:
        os.chdir(before)


def _listening(listener: socket.socket, where: Any) -> socket.socket:
    if listener.family == socket.AF_INET:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(where)
    listener.listen(64)
    listener.setblocking(False)
    return listener


def _devices(folder: Path) -> None:
    folder.mkdir()
    for name, numbers in _DEVICES.items():
        os.mknod(folder / name, 0o020666, os.makedev(*numbers))
        (folder / name).chmod(0o666)
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}.items():
        (folder / name).symlink_to(target)
    (folder / "shm").mkdir(mode=0o1777)


def _spent() -> float:
    """CPU seconds of every process in this namespace, of those that have ended too."""
    ticks = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS


@contextlib.contextmanager
def _no_return() -> Any:
    """A forked child never comes back into the server's loop."""
    try:
        yield
    except BaseException:  # noqa: BLE001 - whatever it was, it is told and the child ends
        traceback.print_exc()
    os._exit(1)


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    FieldServer(Path(sys.argv[1])).run()
