"""SSH keys of a lab: one key pair for the controller, a fixed host key per node, and known_hosts, so that hosts are verified."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scs_deploy.lab import host


def key_pair(path: Path, comment: str) -> str:
    """The public key that belongs to ``path``; both are made when missing."""
    public = path.with_name(path.name + ".pub")
    if not (path.exists() and public.exists()):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return public.read_text().strip()


def known_hosts(hosts: Mapping[tuple[str, ...], str]) -> str:
    """Lines of known_hosts: names and addresses of a node -> its public host key."""
    return "".join(f"{','.join(names)} {' '.join(key.split()[:2])}\n" for names, key in hosts.items())


def ssh_command(private_key: Path, known: Path, address: str) -> list[str]:
    """An ssh command line that believes only the lab's own known_hosts."""
    options = {
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "none",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "LogLevel": "ERROR",
    }
    flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "none", "-i", str(private_key), *flags, f"root@{address}"]
