"""The few system calls that give a process a root, a network and a name of its own (Python has them from 3.12 on)."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

NEWNS, NEWUTS, NEWNET = 0x00020000, 0x04000000, 0x40000000
RDONLY, NOSUID, NODEV, BIND, REC, PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
_DETACH = 2
_SIOCSIFFLAGS, _UP = 0x8914, 1
_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(done: int, what: str) -> None:
    if done:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int = 0) -> None:
    _checked(_libc.setns(descriptor, kind), "setns")


def mount(source: str, target: Path | str, kind: str = "", flags: int = 0, data: str = "") -> None:
    done = _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(done, f"mount {target}")


def enter_root(folder: Path) -> None:
    """Make ``folder``, a mount point, the root and let go of everything else that was mounted."""
    os.chdir(folder)
    _checked(_libc.pivot_root(b".", b"."), f"pivot_root {folder}")
    _checked(_libc.umount2(b".", _DETACH), "umount of the old root")
    os.chdir("/")


def loopback_up() -> None:
    """In a new network namespace: all of 127.0.0.0/8 answers."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP))


def die_with_parent(number: int) -> None:
    _checked(_libc.prctl(_PDEATHSIG, number, 0, 0, 0), "prctl")


@contextlib.contextmanager
def network_of(descriptor: int) -> Iterator[None]:
    """Sockets that are made inside belong to that network namespace for good."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(descriptor, NEWNET)
        yield
        setns(own, NEWNET)
    finally:
        os.close(own)
