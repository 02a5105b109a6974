"""The container that is a node: its command line as data, and what the engine knows about it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scs_deploy.errors import DeployError
from scs_deploy.lab.identity import LABEL_FOLDER, LABEL_LAB, LABEL_NODE, LabNames
from scs_deploy.lab.spec import NodeSpec
from scs_deploy.machine import engine
from scs_deploy.machine.waiting import wait_for

CONFIG = "/etc/scs-lab"
IMAGES = "/var/lib/scs-lab/images"
"""Where a node sees the controller's image store, read-only."""

LAYOUT = "/var/lib/scs-lab/layout"
"""Where a node sees the folder of images that apply exports for engines that cannot use that store, read-only."""

EXITS = Path("/run/libpod/exits")
"""Where Podman's monitors leave the exit codes of root's containers."""

RESTART_SECONDS, END_SECONDS = 2, 60

ENGINE_DATA = ("/var/lib/containers", "/var/lib/docker")


@dataclass(frozen=True, slots=True)
class NodeContainer:
    """A container as the engine reports it; ``pid`` 0 when it does not run."""

    id: str
    name: str
    node: str
    state: str
    pid: int
    folder: str = ""

    @property
    def alive(self) -> bool:
        """Whether its first process lives; the engine wrongly believes so of a container whose monitor was killed."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in ("Z", "X")

    @property
    def monitored(self) -> bool:
        """Whether Podman's monitor of the container lives."""
        done = engine.podman(["inspect", "--format", "{{.State.ConmonPid}}", self.name], check=False)
        try:
            return self.id in Path(f"/proc/{done.stdout.strip() or 0}/cmdline").read_text(encoding="utf-8")
        except FileNotFoundError:
            return False

    def runs_in(self, namespace: Path) -> bool:
        """Whether its first process is alive and in that network namespace."""
        try:
            return self.pid > 0 and Path(f"/proc/{self.pid}/ns/net").samefile(namespace)
        except FileNotFoundError:
            return False


def run_arguments(names: LabNames, node: NodeSpec, config: Path, image: str, store: Path, layout: Path) -> list[str]:
    """Arguments of ``podman`` that start a node for the first time.

    The store is bound non-recursively: the mounts of running containers below it would come along writable.
    """
    memory = ["--memory", f"{node.memory_mb}m"] if node.memory_mb else []
    volumes = [] if node.disk_mb else [part for folder in ENGINE_DATA for part in ("--volume", folder)]
    return [
        "run",
        "--detach",
        *("--name", names.container(node.name)),
        *("--hostname", node.name),
        *("--label", f"{LABEL_LAB}={names.id}"),
        *("--label", f"{LABEL_NODE}={node.name}"),
        *("--label", f"{LABEL_FOLDER}={config.parents[2]}"),
        *("--network", f"ns:{names.namespace(node.name)}"),
        *("--no-hosts", "--dns", "none"),
        *("--privileged", "--systemd=false", "--cgroupns=private"),
        *("--pids-limit", "0"),
        *memory,
        *("--restart", "always"),
        *("--stop-signal", "SIGRTMIN+3"),
        *("--log-driver", "k8s-file", "--log-opt", "max-size=1m"),
        *("--tmpfs", "/run:rw,mode=755", "--tmpfs", "/tmp:rw,mode=1777"),  # noqa: S108 - inside the node
        *("--mount", f"type=bind,ro,bind-nonrecursive,src={store},dst={IMAGES}"),
        *("--volume", f"{layout}:{LAYOUT}:ro"),
        *("--volume", f"{config}:{CONFIG}:ro"),
        *volumes,
        image,
        f"{CONFIG}/entry",
    ]


def listed(names: LabNames) -> dict[str, NodeContainer]:
    """The lab's containers by the name of their node."""
    text = engine.podman(["ps", "--all", "--format", "json", "--filter", f"label={LABEL_LAB}={names.id}"]).stdout
    found = {}
    for item in json.loads(text or "[]"):
        labels = item["Labels"]
        node = labels.get(LABEL_NODE, "")
        folder = labels.get(LABEL_FOLDER, "")
        found[node] = NodeContainer(item["Id"], item["Names"][0], node, item["State"], item.get("Pid") or 0, folder)
    return found


def check_owner(containers: Iterable[NodeContainer], folder: Path) -> None:
    """Raises DeployError when nodes were made with their keys and disks in another folder than the lab's."""
    for there in containers:
        if there.folder not in ("", str(folder)):
            raise DeployError(
                "the lab of this region was made with another state folder",
                where=there.name,
                why=f"its keys and disks are in {there.folder}",
                fix=f"set SCS_DEPLOY_STATE_DIR={Path(there.folder).parents[1]}, or copy the region to another folder",
            )


def repair(there: NodeContainer, names: LabNames) -> bool:
    """Start a node that does not run, or runs outside its namespace; True when it was started."""
    namespace = names.namespace(there.node)
    if there.state == "running" and not there.alive:
        # A node whose first process just died is started by its monitor, unless that died with it.
        wait_for(lambda: _settled(listed(names)[there.node]), RESTART_SECONDS)
        there = listed(names)[there.node]
    if there.state == "running" and there.runs_in(namespace):
        return False
    restart(there)
    return True


def _settled(there: NodeContainer) -> bool:
    return there.state != "running" or there.alive


def restart(there: NodeContainer) -> None:
    """Stop what is left of a node and start it; its data is kept."""
    _speak_for_monitor(there)
    if there.alive:
        engine.podman(["stop", "--time", "5", there.name], timeout=60)
    engine.podman(["start", there.name], timeout=60)


def remove(containers: Iterable[NodeContainer]) -> None:
    """Remove containers with their volumes, whatever state they are in; missing ones are fine."""
    found = list(containers)
    for there in found:
        _speak_for_monitor(there)
    if found:
        names = [there.name for there in found]
        engine.podman(["rm", "--force", "--ignore", "--volumes", "--time", "0", *names], timeout=120)


def _speak_for_monitor(there: NodeContainer) -> None:
    """Podman waits for the monitor's word on how a container ended: where the monitor was killed, end the node and give it."""
    if there.state not in ("running", "stopping") or there.monitored:
        return
    if there.alive:
        with contextlib.suppress(ProcessLookupError):
            os.kill(there.pid, signal.SIGKILL)
    # A first process is the last of its node to go: until then the kernel ends all others.
    wait_for(lambda: not there.alive, END_SECONDS)
    (EXITS / there.id).write_text("137")
