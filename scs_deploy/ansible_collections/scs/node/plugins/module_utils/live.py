"""What changes all the time on a node: clock, boot, free space, listening ports."""

from __future__ import annotations

import os
import socket
import struct

from .host import Host
from .question import Listener, Live

_SPACE = ("/", "/var/lib/containers", "/var/lib/docker", "/var/lib/scs-deploy")
_LISTEN, _UNCONNECTED = "0A", "07"


def gather(host: Host) -> Live:
    return Live(
        time=host.now(),
        boot_id=host.read("/proc/sys/kernel/random/boot_id"),
        free_bytes={path: free for path in _SPACE if (free := _free(host, path)) is not None},
        listening=sorted(
            {Listener(kind, *found) for kind in ("tcp", "tcp6", "udp", "udp6") for found in _sockets(host, kind)}
        ),
    )


def _free(host: Host, path: str) -> int | None:
    try:
        found = os.statvfs(host.path(path))
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _sockets(host: Host, kind: str) -> list[tuple[str, int]]:
    wanted = _LISTEN if kind.startswith("tcp") else _UNCONNECTED
    rows = [line.split() for line in host.read(f"/proc/net/{kind}").splitlines()[1:]]
    return [_address(row[1]) for row in rows if row[3] == wanted]


def _address(text: str) -> tuple[str, int]:
    """Read the kernel's form: 32-bit words in host byte order, port in hex."""
    address, port = text.split(":")
    words = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, struct.pack(f"={len(words)}I", *words)), int(port, 16)
