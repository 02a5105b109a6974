"""A lab as a whole: bring it up or repair it, take it down without a trace, reset, reboot and reach its nodes."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from scs_deploy.errors import DeployError, LockedError
from scs_deploy.images import layout
from scs_deploy.lab import container, disks, host, image, keys, nodefiles
from scs_deploy.lab.identity import LabFiles, LabNames, find_record
from scs_deploy.lab.network import LabNetwork
from scs_deploy.lab.preflight import check_machine, check_memory
from scs_deploy.lab.spec import LabSpec, NodeSpec
from scs_deploy.machine import engine, environment
from scs_deploy.machine.files import write_atomic
from scs_deploy.machine.locks import locked
from scs_deploy.machine.waiting import wait_for

if TYPE_CHECKING:
    from scs_deploy.nodes.fleet import Fleet

Say = Callable[[str], None]

BOOT_SECONDS = 60
SHUTDOWN_SECONDS = 180
"""Servers on a node are given time to shut down before it does."""
CLONE_NEWNET = 0x40000000
OWN_NAMESPACE = Path("/proc/thread-self/ns/net")
UNIT_STATES = ("running", "degraded")


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """``state``: running, stopped, unwired (runs outside its networks) or missing; ``address`` is what ssh uses."""

    name: str
    state: str
    address: str
    container: str


def _silent(_: str) -> None:
    return


def _enter(namespace: IO[bytes]) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise DeployError("cannot enter the lab's networks", why=os.strerror(ctypes.get_errno()), fix="be root")


class Lab:
    """The lab of one region. Every method finds out what there is; nothing relies on what an earlier run remembered.

    ``files.record`` exists from the first ``up`` to the next ``down``: whoever connects to the region's nodes
    asks for it, and then uses the lab's key and known hosts (``fleet``), while it has ``entered``.
    """

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self.names = LabNames.of(spec.name, spec.source)
        self.files = LabFiles.of(spec.name, spec.source)
        self.network = LabNetwork(self.names, spec)

    @classmethod
    def recorded(cls, source: Path) -> Lab | None:
        """The lab of a region's folder as far as ``down`` needs it, although its file may be broken; None without one."""
        record = find_record(source)
        return cls(LabSpec(record["region"], record["source"], (), ())) if record else None

    # -- whole lab ---------------------------------------------------------------------------------------------------

    def up(self, progress: Say = _silent, *, private: bool = False) -> None:
        """Make what is missing and repair what is broken; data of nodes that exist is kept.

        The bridges belong to this machine, unless their networks are taken here (or ``private``): then they live in a
        network namespace of the lab, and ``entered`` or ``prefix`` leads there.
        """
        check_machine()
        with self._changing():
            running = container.listed(self.names)
            container.check_owner(running.values(), self.files.folder)
            check_memory(self.spec, [node.name for node in self.spec.nodes if node.name not in running])
            reference = image.ensure(self.spec.release, progress)
            self.files.write_record(self.spec.name, self.spec.source)
            self._remove_strangers(running, progress)
            self.network.up(private, progress)
            public = keys.key_pair(self.files.private_key, f"scs-deploy lab {self.spec.name}")
            for node in self.spec.nodes:
                self._node_up(node, public, reference, running.get(node.name), progress)
            self._write_known_hosts()
            for node in self.spec.nodes:
                self._wait(node, progress)

    def down(self) -> None:
        """Remove everything that carries the lab's id, then look again. Raises DeployError naming what remains."""
        check_machine()
        with self._changing(last=True):
            there = container.listed(self.names).values()
            container.check_owner(there, self.files.folder)
            container.remove(there)
            self.network.down()
            disks.detach(self.files.folder)
            if self.files.folder.exists():
                shutil.rmtree(self.files.folder)
            left = self.leftovers()
        if left:
            raise DeployError(
                "something of the lab remains", where=self.spec.name, why="; ".join(left), fix="run lab down again"
            )

    def leftovers(self) -> list[str]:
        """Everything on this machine that carries the lab's id."""
        return [
            *(f"container {node.name}" for node in container.listed(self.names).values()),
            *self.network.leftovers(),
            *(f"loop device {device}" for device in disks.attached(self.files.folder).values()),
            *(f"folder {path}" for path in (self.files.folder, self.names.run) if path.exists()),
        ]

    def status(self) -> tuple[NodeStatus, ...]:
        there = container.listed(self.names)
        return tuple(
            NodeStatus(
                node.name, self._state(there.get(node.name)), self.address(node.name), self.names.container(node.name)
            )
            for node in self.spec.nodes
        )

    # -- one node ----------------------------------------------------------------------------------------------------

    def reset(self, name: str, progress: Say = _silent) -> None:
        """A fresh node: its container, volumes and disks are made anew; its addresses and host key stay."""
        node = self.spec.node(name)
        check_machine()
        with self._changing():
            self._forget(node.name)
        self.up(progress)

    def reboot(self, name: str, timeout: float = SHUTDOWN_SECONDS + BOOT_SECONDS) -> None:
        """``systemctl reboot`` inside; returns when the node has booted again. ``timeout`` in seconds."""
        before = self._boot_id(name)
        self.run(name, ["systemctl", "reboot"])
        if not wait_for(lambda: self._boot_id(name) not in ("", before), timeout):
            raise DeployError("the node did not come back", where=name, why=self._last_words(name), fix="run lab up")
        self._wait(self.spec.node(name), _silent)

    def plug(self, name: str, network: str, *, connected: bool) -> None:
        """Pull (``connected=False``) or put back the cable between a node and a network; ``up`` puts it back too."""
        self.spec.node(name)
        self.network.plug(name, network, connected=connected)

    def run(self, name: str, argv: Sequence[str], *, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command on a node as root over ssh and capture its output; 255 is ssh's own failure."""
        command = [*self.ssh_command(name), "--", *argv]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

    def ssh(self, name: str, argv: Sequence[str] = ()) -> int:
        """An interactive shell or a command on a node, on the caller's terminal; the exit code."""
        command = self.ssh_command(name)
        # One argument is a line for the node's shell; several are words that shell must not split again.
        line = list(argv) if len(argv) < 2 else [shlex.join(argv)]
        return subprocess.run([*command[:-1], *([] if argv else ["-t"]), command[-1], *line], check=False).returncode

    def ssh_command(self, name: str) -> list[str]:
        command = keys.ssh_command(self.files.private_key, self.files.known_hosts, self.address(name))
        return [*self.prefix(), *command]

    def address(self, name: str) -> str:
        """The node's first address, in the order of the networks, IPv4 before IPv6."""
        node = self.spec.node(name)
        given = [address for network in self.spec.networks for address in node.addresses.get(network.name, ())]
        if not given:
            raise DeployError("the node has no address", where=name, fix="give it one in the region file")
        return str(min(given, key=lambda address: address.version).ip)

    # -- where the networks are --------------------------------------------------------------------------------------

    @property
    def namespace(self) -> Path | None:
        """The network namespace that holds the bridges; None when they are this machine's own."""
        return self.network.namespace

    def prefix(self) -> tuple[str, ...]:
        """What to put before a command so that it reaches the lab's networks; empty for a lab wired into this machine."""
        return host.within(self.namespace)

    def execute(self, argv: Sequence[str]) -> int:
        """Run a command of this machine where the lab's networks are; its exit code."""
        shell, umask = environment.operators(), environment.operators_umask()
        return subprocess.run([*self.prefix(), *argv], check=False, env=shell, umask=umask).returncode

    def fleet(self, fleet: Fleet) -> Fleet:
        """The same nodes, reached as the lab's: with its key, at its addresses."""
        key, known = str(self.files.private_key), str(self.files.known_hosts)
        connections = {
            name: replace(
                one, host=self.address(name), user="root", port=22, key=key, known_hosts=known, jump="", become=False
            )
            for name, one in fleet.connections.items()
        }
        return replace(fleet, connections=connections, lab=True)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread, and what it starts, where the lab's networks are, for the body; not to be mixed with ``up`` or ``down``."""
        if self.namespace is None:
            yield
            return
        with OWN_NAMESPACE.open("rb") as before:
            self.enter()
            try:
                yield
            finally:
                _enter(before)

    def enter(self) -> None:
        """The same until the thread ends, for who cannot say where its body is, as an inventory plugin of Ansible."""
        if self.namespace:
            with self.namespace.open("rb") as stream:
                _enter(stream)

    # -- the steps of up ---------------------------------------------------------------------------------------------

    def _node_up(
        self, node: NodeSpec, public: str, reference: str, there: container.NodeContainer | None, progress: Say
    ) -> None:
        folder = self.files.node(node.name)
        devices = disks.attach(folder, node)
        changed = nodefiles.write(self.spec, node, self.names, folder, self.files.config(node.name), public, devices)
        if there is None:
            progress(f"{node.name}: making the node")
            config = self.files.config(node.name)
            layout.shared_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            arguments = container.run_arguments(
                self.names, node, config, reference, engine.store_path(), layout.shared_folder()
            )
            engine.podman(arguments, timeout=120)
        elif "devices" in changed:
            progress(f"{node.name}: starting the node again, its disks changed")
            container.restart(there)
        elif container.repair(there, self.names):
            progress(f"{node.name}: started the node again, it was {there.state}")

    def _wait(self, node: NodeSpec, progress: Say) -> None:
        said: list[str] = []

        def state() -> str | None:
            done = self.run(node.name, ["systemctl", "is-system-running", "--wait"])
            said[:] = [done.stderr.strip()]
            return found if (found := done.stdout.strip()) in UNIT_STATES else None

        found = wait_for(state, BOOT_SECONDS)
        if found is None:
            raise DeployError(
                f"the node does not answer ssh after {BOOT_SECONDS} s",
                where=node.name,
                why="\n".join([*said, self._last_words(node.name)]).strip(),
                fix=f"look at `podman logs {self.names.container(node.name)}`, or `lab reset {node.name}`",
            )
        if found == "degraded":
            failed = self.run(node.name, ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout
            progress(f"{node.name}: failed units: {', '.join(line.split()[0] for line in failed.splitlines())}")

    def _write_known_hosts(self) -> None:
        hosts = {}
        for node in self.spec.nodes:
            addresses = [str(a.ip) for given in node.addresses.values() for a in given]
            public = self.files.node(node.name) / f"{nodefiles.HOST_KEY}.pub"
            hosts[(node.name, *addresses)] = public.read_text()
        write_atomic(self.files.known_hosts, keys.known_hosts(hosts), sync=False)

    def _remove_strangers(self, running: Mapping[str, container.NodeContainer], progress: Say) -> None:
        wanted = {node.name for node in self.spec.nodes}
        for name in sorted(running.keys() - wanted):
            progress(f"{name}: removing the node, the region no longer names it")
            self._forget(name)
            shutil.rmtree(self.files.node(name), ignore_errors=True)

    def _forget(self, node: str) -> None:
        container.remove(there for name, there in container.listed(self.names).items() if name == node)
        disks.detach(self.files.node(node))
        shutil.rmtree(self.files.node(node) / "disks", ignore_errors=True)
        self.network.forget(node)

    # -- small things ------------------------------------------------------------------------------------------------

    def _changing(self, *, last: bool = False) -> AbstractContextManager[None]:
        """One change of a lab at a time; the ``last`` one removes the lock. Raises ``LockedError`` while another goes on."""

        def busy() -> None:
            what, fix = "another process is changing this lab", "wait for it, or end it, and run again"
            raise LockedError(what, where=str(self.files.lock), fix=fix)

        self.files.lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(self.files.lock, busy, remove=last)

    def _state(self, there: container.NodeContainer | None) -> str:
        if there is None:
            return "missing"
        if there.state != "running" or not there.alive:
            return "stopped"
        inside = there.runs_in(self.names.namespace(there.node))
        return "running" if inside and self.network.wired(there.node) else "unwired"

    def _boot_id(self, name: str) -> str:
        return self.run(name, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()

    def _last_words(self, name: str) -> str:
        done = engine.podman(["logs", "--tail", "10", self.names.container(name)], check=False)
        return (done.stdout + done.stderr).strip()
