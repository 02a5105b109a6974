"""The files a node reads at boot from /etc/scs-lab: its name, NICs, addresses, keys, resolvers and disks."""

from __future__ import annotations

import uuid
from importlib import resources
from pathlib import Path

from scs_deploy.catalogue.release import load_release, release_names
from scs_deploy.images.script import sources
from scs_deploy.lab import keys, wiring
from scs_deploy.lab.identity import LabNames, digest
from scs_deploy.lab.spec import LabSpec, NodeSpec
from scs_deploy.machine.files import write_atomic

HOST_KEY = "ssh_host_ed25519_key"
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))


def resolv_conf(texts: list[str]) -> str:
    """The name servers and search domains of the first text that names a server that a node reaches: none on loopback or link-local addresses."""
    for text in texts:
        lines = [line for line in text.splitlines() if line.split()[:1] in (["nameserver"], ["search"])]
        lines = [line for line in lines if not line.split()[1].startswith(("127.", "::1", "fe80:"))]
        if any(line.startswith("nameserver") for line in lines):
            return "".join(line + "\n" for line in lines)
    return ""


def contents(
    spec: LabSpec, node: NodeSpec, names: LabNames, public: str, devices: str, resolvers: str
) -> dict[str, str]:
    """File name -> text, all but the host key."""
    release = load_release(spec.release or release_names()[-1])
    mirror = spec.mirror or release.mirror
    authorized = [key for key in (public, spec.authorized_key.strip()) if key]
    return {
        "hostname": f"{node.name}\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {node.name}\n",
        "resolv.conf": resolvers,
        "machine-id": f"{uuid.UUID(hex=digest(names.id, node.name)[:32]).hex}\n",
        "authorized_keys": "".join(key + "\n" for key in authorized),
        "sources.list": "".join(line + "\n" for line in sources(mirror, release.suite, security=release.security)),
        "nics": "".join(wiring.nic(network.name) + "\n" for network in spec.networks),
        "network": wiring.node_network(spec, node),
        "devices": devices,
        "entry": resources.files("scs_deploy.lab").joinpath("files/entry").read_text(),
    }


def write(
    spec: LabSpec, node: NodeSpec, names: LabNames, folder: Path, config: Path, public: str, devices: str
) -> set[str]:
    """Write the files of a node; the names of those that were there with another content."""
    config.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = folder / HOST_KEY
    keys.key_pair(key, f"lab node {node.name}")
    resolvers = resolv_conf([path.read_text() for path in RESOLVERS if path.is_file()])
    changed = set()
    files = contents(spec, node, names, public, devices, resolvers)
    for name, text in {**files, key.name: key.read_text()}.items():
        path = config / name
        if path.is_file() and path.read_text() == text:
            continue
        if path.is_file():
            changed.add(name)
        write_atomic(path, text, 0o700 if name == "entry" else 0o600, sync=False)
    return changed
