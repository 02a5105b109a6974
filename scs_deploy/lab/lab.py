"""A lab as a whole: bring it up or repair it, take it down without a trace, reset, reboot and reach its nodes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scs_deploy import engine
from scs_deploy.errors import DeployError
from scs_deploy.lab import container, disks, host, image, keys, nodefiles, wiring
from scs_deploy.lab.identity import RUN_ROOT, LabFiles, LabNames
from scs_deploy.lab.lock import locked
from scs_deploy.lab.preflight import check_machine, check_memory
from scs_deploy.lab.spec import LabSpec, NodeSpec

Progress = Callable[[str], None]

BOOT_SECONDS = 60
CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """``state``: running, stopped, unwired (runs outside its network) or missing; ``address`` is what ssh uses."""

    name: str
    state: str
    address: str
    container: str


def _silent(_: str) -> None:
    return


class Lab:
    """The lab of one region. Every method finds out what there is; nothing relies on what an earlier run remembered."""

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec
        self.names = LabNames.of(spec.name, spec.source)
        self.files = LabFiles.of(spec.name, spec.source)

    # -- whole lab ---------------------------------------------------------------------------------------------------

    def up(self, progress: Progress = _silent, *, private: bool = False) -> None:
        """Make what is missing and repair what is broken; data of nodes that exist is kept.

        The bridges belong to this machine, unless their networks are taken here (or ``private``): then they live in a
        network namespace of the lab, and ``enter`` or ``prefix`` leads there.
        """
        check_machine()
        with locked(self.files.lock):
            running = container.listed(self.names)
            check_memory(self.spec, [node.name for node in self.spec.nodes if node.name not in running])
            reference = image.ensure(progress)
            self._remove_strangers(running, progress)
            namespace = self._place(private, progress)
            self._wire(namespace)
            public = keys.key_pair(self.files.private_key, f"scs-deploy lab {self.spec.name}")
            for node in self.spec.nodes:
                self._node_up(node, public, reference, running.get(node.name), progress)
            self._write_known_hosts()
            for node in self.spec.nodes:
                self._wait(node, progress)

    def down(self) -> None:
        """Remove everything that carries the lab's id, then look again. Raises DeployError naming what remains."""
        check_machine()
        with locked(self.files.lock, remove=True):
            for node in container.listed(self.names).values():
                container.remove(node.name)
            self._remove_links()
            for path in self._namespaces():
                host.remove_namespace(path)
            if self.names.table in host.tables():
                host.run(["nft", "delete", "table", host.TABLES_FAMILY, self.names.table])
            disks.detach(self.files.folder)
            shutil.rmtree(self.files.folder, ignore_errors=True)
            shutil.rmtree(self.names.run, ignore_errors=True)
            self._restore_forwarding()
            left = self.leftovers()
        if left:
            raise DeployError(
                "something of the lab remains", where=self.spec.name, why="; ".join(left), fix="run lab down again"
            )

    def leftovers(self) -> list[str]:
        """Everything on this machine that carries the lab's id."""
        prefix = self.names.prefix
        return [
            *(f"container {node.name}" for node in container.listed(self.names).values()),
            *(f"link {name}" for name in host.links() if name.startswith(prefix)),
            *(f"namespace {path}" for path in self._namespaces()),
            *(f"nftables table {name}" for name in host.tables() if name == self.names.table),
            *(f"loop device {d}" for f, d in host.loop_devices().items() if f.is_relative_to(self.files.folder)),
            *(f"folder {path}" for path in (self.files.folder, self.names.run) if path.exists()),
        ]

    def status(self) -> tuple[NodeStatus, ...]:
        there = container.listed(self.names)
        found = []
        for node in self.spec.nodes:
            mine = there.get(node.name)
            if mine is None:
                state = "missing"
            elif mine.state != "running":
                state = "stopped"
            else:
                state = "running" if self._wired(mine, node) else "unwired"
            found.append(NodeStatus(node.name, state, self.address(node.name), self.names.container(node.name)))
        return tuple(found)

    # -- one node ----------------------------------------------------------------------------------------------------

    def reset(self, name: str, progress: Progress = _silent) -> None:
        """A fresh node: its container, volumes and disks are made anew; its addresses and host key stay."""
        node = self.spec.node(name)
        check_machine()
        with locked(self.files.lock):
            if name in container.listed(self.names):
                container.remove(self.names.container(name))
            self._forget(node.name)
        self.up(progress, private=self.namespace is not None)

    def reboot(self, name: str, timeout: float = BOOT_SECONDS) -> None:
        """``systemctl reboot`` inside; returns when the node has booted again."""
        before = self._boot_id(name)
        self.run(name, ["systemctl", "reboot"])
        deadline = time.monotonic() + timeout
        while self._boot_id(name) in ("", before):
            if time.monotonic() > deadline:
                raise DeployError("the node did not come back", where=name, why=self._last_words(name))
            time.sleep(0.1)
        self._wait(self.spec.node(name), _silent)

    def run(self, name: str, argv: Sequence[str], *, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on a node as root over ssh and capture its output; 255 is ssh's own failure."""
        command = [*self.ssh_command(name), "--", *argv]
        return subprocess.run(command, input=stdin or "", capture_output=True, text=True, check=False)

    def ssh(self, name: str, argv: Sequence[str] = ()) -> int:
        """An interactive shell or command on a node, on the caller's terminal; the exit code."""
        command = self.ssh_command(name)
        return subprocess.run([*command[:-1], *([] if argv else ["-t"]), command[-1], *argv], check=False).returncode

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
        path = self.names.lab_namespace
        return path if host.is_namespace(path) else None

    def prefix(self) -> tuple[str, ...]:
        """What to put before a command so that it reaches the lab's networks; empty for a lab wired into this machine."""
        return host.within(self.namespace)

    def execute(self, argv: Sequence[str]) -> int:
        """Run a command of this machine where the lab's networks are; its exit code."""
        return subprocess.run([*self.prefix(), *argv], check=False).returncode

    def enter(self) -> None:
        """Move this process, and what it starts, to where the lab's networks are."""
        if self.namespace is None:
            return
        with self.namespace.open() as stream:
            if ctypes.CDLL(None, use_errno=True).setns(stream.fileno(), CLONE_NEWNET) != 0:
                raise DeployError("cannot enter the lab's networks", why=os.strerror(ctypes.get_errno()), fix="be root")

    # -- the steps of up ---------------------------------------------------------------------------------------------

    def _place(self, private: bool, progress: Progress) -> Path | None:
        if self.namespace:
            return self.namespace
        here = host.links()
        if any(self.names.bridge(network.name) in here for network in self.spec.networks) and not private:
            return None
        taken = wiring.clashes(self.spec, host.subnets(), self.names)
        if not taken and not private:
            return None
        for reason in taken:
            progress(f"taken on this machine: {reason}")
        self._remove_links()
        host.add_namespace(self.names.lab_namespace)
        progress("the lab's networks live in a namespace of their own; reach them with: scs-deploy lab exec -- COMMAND")
        return self.namespace

    def _wire(self, namespace: Path | None) -> None:
        for node in self.spec.nodes:
            host.add_namespace(self.names.namespace(node.name))
        host.ip_commands(wiring.bridge_commands(self.names, self.spec, host.links(namespace)), namespace)
        host.ip_commands(wiring.cable_commands(self.names, self.spec, host.links(namespace)), namespace)
        sources = [network for spec in self.spec.networks for network in spec.networks]
        if namespace:
            outside, inside = wiring.uplink_addresses(self.names)
            if self.names.uplink not in host.links():
                host.ip_commands(wiring.uplink_commands(self.names, namespace, outside))
                host.ip_commands(wiring.uplink_inside(outside, inside), namespace)
            host.run([*host.within(namespace), "nft", "-f", "-"], stdin=wiring.firewall(self.names, sources))
            host.set_forwarding("1", namespace)
            sources = [outside.network]
        host.run(["nft", "-f", "-"], stdin=wiring.firewall(self.names, sources))
        self._allow_forwarding()

    def _node_up(
        self, node: NodeSpec, public: str, reference: str, there: container.NodeContainer | None, progress: Progress
    ) -> None:
        folder = self.files.node(node.name)
        config = self.files.config(node.name)
        devices = disks.attach(folder, node)
        changed = nodefiles.write(self.spec, node, self.names, folder, config, public, devices)
        name = self.names.container(node.name)
        if there is None:
            progress(f"{node.name}: making the node")
            arguments = container.run_arguments(self.names, node, config, reference, engine.store_path())
            engine.podman(arguments, timeout=120)
            return
        if there.state == "running" and there.runs_in(self.names.namespace(node.name)) and "devices" not in changed:
            batch = wiring.node_network(self.spec, node)
            inside = host.within(self.names.namespace(node.name))
            host.run([*inside, "ip", "-force", "-batch", "-"], stdin=batch, check=False)
            return
        progress(f"{node.name}: starting the node again ({there.state})")
        if there.state == "running":
            engine.podman(["kill", name], check=False)
            engine.podman(["stop", "--time", "0", name], check=False, timeout=60)
        engine.podman(["start", name], timeout=60)

    def _wait(self, node: NodeSpec, progress: Progress) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while True:
            done = self.run(node.name, ["systemctl", "is-system-running", "--wait"])
            if done.stdout.strip() in ("running", "degraded"):
                break
            if time.monotonic() > deadline:
                raise DeployError(
                    f"the node does not answer ssh after {BOOT_SECONDS} s",
                    where=node.name,
                    why=f"{done.stderr.strip()}\n{self._last_words(node.name)}",
                    fix=f"look at `podman logs {self.names.container(node.name)}`, or `lab reset {node.name}`",
                )
            time.sleep(0.1)
        if done.stdout.strip() == "degraded":
            failed = self.run(node.name, ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout
            progress(f"{node.name}: failed units: {', '.join(line.split()[0] for line in failed.splitlines())}")

    def _write_known_hosts(self) -> None:
        hosts = {}
        for node in self.spec.nodes:
            addresses = [str(a.ip) for given in node.addresses.values() for a in given]
            public = self.files.node(node.name) / "ssh_host_ed25519_key.pub"
            hosts[(node.name, *addresses)] = public.read_text()
        nodefiles.replace(self.files.known_hosts, keys.known_hosts(hosts))

    # -- small things ------------------------------------------------------------------------------------------------

    def _wired(self, there: container.NodeContainer, node: NodeSpec) -> bool:
        here = host.links(self.namespace)
        bridges = {network.name: here.get(self.names.bridge(network.name)) for network in self.spec.networks}
        return there.runs_in(self.names.namespace(node.name)) and all(
            bridge is not None
            and (link := here.get(self.names.link(node.name, network))) is not None
            and link.master == self.names.bridge(network)
            for network, bridge in bridges.items()
        )

    def _namespaces(self) -> list[Path]:
        return sorted(self.names.run.iterdir()) if self.names.run.is_dir() else []

    def _remove_links(self) -> None:
        host.delete_links(name for name in host.links() if name.startswith(self.names.prefix))

    def _remove_strangers(self, running: dict[str, container.NodeContainer], progress: Progress) -> None:
        wanted = {node.name for node in self.spec.nodes}
        for name, there in running.items():
            if name not in wanted:
                progress(f"{name}: removing the node, the region no longer names it")
                container.remove(there.name)
                self._forget(name)

    def _forget(self, node: str) -> None:
        disks.detach(self.files.node(node))
        shutil.rmtree(self.files.node(node) / "disks", ignore_errors=True)
        # The kernel removes a namespace's cables later; a cable that is still listed would not be made anew.
        cables = [self.names.link(node, network.name) for network in self.spec.networks]
        host.delete_links(cables, self.namespace)
        host.remove_namespace(self.names.namespace(node))

    def _allow_forwarding(self) -> None:
        if host.FORWARDING.read_text().strip() == "0":
            (RUN_ROOT / "ip_forward").write_text("0")
            host.set_forwarding("1")

    def _restore_forwarding(self) -> None:
        """Forwarding goes back to what it was when the last lab of this machine ends."""
        record = RUN_ROOT / "ip_forward"
        if not RUN_ROOT.is_dir() or any(path != record for path in RUN_ROOT.iterdir()):
            return
        if record.exists():
            host.set_forwarding("0")
            record.unlink()
        RUN_ROOT.rmdir()

    def _boot_id(self, name: str) -> str:
        return self.run(name, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()

    def _last_words(self, name: str) -> str:
        done = engine.podman(["logs", "--tail", "10", self.names.container(name)], check=False)
        return (done.stdout + done.stderr).strip()
