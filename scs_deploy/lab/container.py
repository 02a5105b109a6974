"""The container that is a node: its command line as data, and what the engine knows about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scs_deploy import engine
from scs_deploy.lab.identity import LABEL_LAB, LABEL_NODE, LabNames
from scs_deploy.lab.spec import NodeSpec

CONFIG = "/etc/scs-lab"
IMAGES = "/var/lib/scs-lab/images"
"""Where a node sees the controller's image store, read-only."""

ENGINE_DATA = ("/var/lib/containers", "/var/lib/docker")


@dataclass(frozen=True, slots=True)
class NodeContainer:
    """A container as the engine reports it; ``pid`` 0 when it does not run."""

    name: str
    node: str
    state: str
    pid: int
    image: str

    def runs_in(self, namespace: Path) -> bool:
        """Whether its first process is alive and in that network namespace."""
        try:
            return self.pid > 0 and Path(f"/proc/{self.pid}/ns/net").samefile(namespace)
        except FileNotFoundError:
            return False


def run_arguments(names: LabNames, node: NodeSpec, config: Path, image: str, store: Path) -> list[str]:
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
        node = item["Labels"].get(LABEL_NODE, "")
        found[node] = NodeContainer(item["Names"][0], node, item["State"], item.get("Pid", 0), item["ImageID"])
    return found


def remove(name: str) -> None:
    """Remove a container with its volumes, whatever state it is in."""
    engine.podman(["rm", "--force", "--volumes", "--time", "0", name], timeout=60)
