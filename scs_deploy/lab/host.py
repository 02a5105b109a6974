"""The thin layer that looks at and changes this machine: links, namespaces, sysctl, nftables, loop devices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from scs_deploy.errors import DeployError
from scs_deploy.lab.spec import AnyNetwork
from scs_deploy.lab.wiring import Link

PROGRAMS = {
    "podman": "podman",
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}
"""What the lab calls, and the Debian package that has it."""

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
TABLES_FAMILY = "ip"


def run(command: Sequence[str], *, stdin: str | None = None, check: bool = True, timeout: float = 60) -> str:
    """Standard output of a command. Raises DeployError with its error text."""
    environment = {**os.environ, "LC_ALL": "C", "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=timeout, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise DeployError(f"{' '.join(command)} did not end within {timeout:g} s", where="controller") from error
    if check and done.returncode:
        raise DeployError(f"{' '.join(command)} failed", where="controller", why=done.stderr.strip())
    return done.stdout


def missing_programs() -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return sorted({package for program, package in PROGRAMS.items() if not shutil.which(program, path=path)})


def free_memory_mb() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def within(namespace: Path | None) -> tuple[str, ...]:
    """What to put before a command so that it runs in a network namespace."""
    return ("nsenter", f"--net={namespace}") if namespace else ()


def links(namespace: Path | None = None) -> dict[str, Link]:
    listed: list[dict[str, Any]] = json.loads(run([*within(namespace), "ip", "-j", "address", "show"]) or "[]")
    return {
        item["ifname"]: Link(
            item.get("master", ""),
            "UP" in item["flags"],
            item["mtu"],
            frozenset(f"{a['local']}/{a['prefixlen']}" for a in item["addr_info"] if "local" in a),
        )
        for item in listed
        if "ifname" in item
    }


def subnets(namespace: Path | None = None) -> dict[str, list[AnyNetwork]]:
    """Networks in use on each interface, except loopback and link-local ones."""
    found: dict[str, list[AnyNetwork]] = {}
    for name, link in links(namespace).items():
        networks = [ip_interface(address).network for address in link.addresses]
        found[name] = [network for network in networks if not (network.is_loopback or network.is_link_local)]
    return found


def ip_commands(commands: Iterable[Sequence[str]], namespace: Path | None = None) -> None:
    """Carry out ``ip`` commands in one process, in order; the first that fails ends it."""
    batch = "\n".join(" ".join(f'"{word}"' if " " in word else word for word in command) for command in commands)
    if batch:
        run([*within(namespace), "ip", "-batch", "-"], stdin=batch + "\n")


def delete_links(names: Iterable[str], namespace: Path | None = None) -> None:
    """Delete links that may be gone already: a cable goes by itself with the namespace of its other end."""
    run(
        [*within(namespace), "ip", "-force", "-batch", "-"],
        stdin="".join(f"link delete {name}\n" for name in names),
        check=False,
    )


def add_namespace(path: Path) -> bool:
    """A network namespace kept by a mount on ``path``; False when it was there already."""
    if is_namespace(path):
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    run(["unshare", f"--net={path}", "true"])
    run([*within(path), "ip", "link", "set", "lo", "up"])
    return True


def is_namespace(path: Path) -> bool:
    try:
        return path.stat().st_dev != path.parent.stat().st_dev
    except FileNotFoundError:
        return False


def remove_namespace(path: Path) -> None:
    while is_namespace(path):
        run(["umount", "--lazy", str(path)])
    path.unlink(missing_ok=True)


def set_forwarding(value: str, namespace: Path | None = None) -> None:
    if namespace:
        run([*within(namespace), "sh", "-c", f"echo {value} > {FORWARDING}"])
    else:
        FORWARDING.write_text(value, encoding="utf-8")


def tables() -> list[str]:
    """Names of the nftables tables of family ip."""
    found = (line.split() for line in run(["nft", "list", "tables"]).splitlines())
    return [words[2] for words in found if len(words) == 3 and words[1] == TABLES_FAMILY]


def loop_devices() -> dict[Path, str]:
    """Backing file -> loop device, deleted backing files included."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
    devices: list[dict[str, str]] = json.loads(listed)["loopdevices"] if listed.strip() else []
    return {Path((device["back-file"] or "").removesuffix(" (deleted)")): device["name"] for device in devices}
