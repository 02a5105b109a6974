"""What the things of a lab are called on this machine: the one home of every such name.

Everything that belongs to a lab carries its id, so that ``down`` finds it by listing, whatever a killed run left.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from scs_deploy.lab.spec import MAX_INTERFACE_NAME
from scs_deploy.machine.files import write_atomic
from scs_deploy.machine.paths import state_dir

RUN_ROOT = Path("/run/scs-lab")
"""Network namespaces of all labs: ``<id>/<node>``; gone after a reboot of this machine."""

LABEL_LAB = "scs-deploy.lab"
LABEL_NODE = "scs-deploy.node"
LABEL_FOLDER = "scs-deploy.lab-folder"


def find_record(source: Path) -> dict[str, str] | None:
    """What the lab of a region's folder recorded: ``region`` and ``source``."""
    for path in sorted((state_dir() / "labs").glob("*/lab.json")):
        record: dict[str, str] = json.loads(path.read_text())
        if record["source"] == str(source.resolve()):
            return record
    return None


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LabNames:
    """The names of one lab. ``id`` has four hex digits, made of the region's name and folder."""

    id: str

    @classmethod
    def of(cls, name: str, source: str) -> LabNames:
        return cls(digest(name, str(Path(source).resolve()))[:4])

    @property
    def prefix(self) -> str:
        return f"scs{self.id}"

    def bridge(self, network: str) -> str:
        """``scs1a2b-api``; a long name ends in a digest so that two of them differ."""
        name = f"{self.prefix}-{network}"
        return name if len(name) <= MAX_INTERFACE_NAME else f"{name[:12]}{digest(network)[:3]}"

    def link(self, node: str, network: str) -> str:
        """This machine's end of the cable between a node's NIC and a bridge."""
        return f"{self.prefix}v{digest(node, network)[:7]}"

    @property
    def uplink(self) -> str:
        """This machine's end of the cable to a lab that lives in a namespace of its own."""
        return f"{self.prefix}-up"

    def mac(self, node: str, network: str) -> str:
        """Fixed, locally administered: neighbours keep their caches when a cable is made anew."""
        raw = digest(self.id, node, network)
        return ":".join(["02", *(raw[at : at + 2] for at in range(0, 10, 2))])

    def container(self, node: str) -> str:
        return f"scs-{self.id}-{node}"

    @property
    def table(self) -> str:
        return f"scs_lab_{self.id}"

    @property
    def run(self) -> Path:
        return RUN_ROOT / self.id

    def namespace(self, node: str) -> Path:
        return self.run / node

    @property
    def lab_namespace(self) -> Path:
        """The bridges' namespace when the lab is not wired into this machine; a dot, as no node's name has one first."""
        return self.run / ".lab"


@dataclass(frozen=True, slots=True)
class LabFiles:
    """Where the lab keeps its files: ``<state>/labs/<region>-<id>/``."""

    folder: Path

    @classmethod
    def of(cls, name: str, source: str) -> LabFiles:
        return cls(state_dir() / "labs" / f"{name}-{LabNames.of(name, source).id}")

    @property
    def private_key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def record(self) -> Path:
        return self.folder / "lab.json"

    @property
    def lock(self) -> Path:
        return self.folder.with_name(f".{self.folder.name}.lock")

    def write_record(self, name: str, source: str) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(self.record, json.dumps({"region": name, "source": str(Path(source).resolve())}) + "\n")

    def node(self, node: str) -> Path:
        """``config/`` (seen by the node as /etc/scs-lab), the host key and disk images."""
        return self.folder / "nodes" / node

    def config(self, node: str) -> Path:
        return self.node(node) / "config"
