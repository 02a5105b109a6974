"""The node's lock: one converge at a time, also when the controller that started it is long gone."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from . import files, wire
from .host import Host
from .paths import STATE_ROOT
from .question import Holder

_LOCK = f"{STATE_ROOT}/lock"

_UNPACKED = re.compile(r"/.+/ansible_scs\.\w+\.\w+_payload_\w+")
"""Where Ansible unpacks a module; it removes that itself, unless the module is killed."""


class Locked(Exception):  # noqa: N818 - a state, not an error
    """Somebody else changes this node; carries the holder."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


@contextmanager
def node_lock(host: Host, holder: str, run: str, patience: float = 5.0) -> Iterator[None]:
    """Hold the lock for the body; raise Locked with the holder after ``patience`` seconds, OSError when it cannot be made."""
    path = host.path(_LOCK)
    files.make_parents(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = host.now() + patience
        while not _taken(descriptor, fcntl.LOCK_EX):
            if host.now() >= until:
                raise Locked(_holder(descriptor))
            host.sleep(0.2)
        _clean_up(host, descriptor)
        mine = Holder(holder, run, host.now(), os.getpid(), _code(Path(__file__)))
        text = json.dumps(asdict(mine))
        try:
            os.pwrite(descriptor, text.encode().ljust(512), 0)
        except OSError as error:
            error.filename = str(path)
            raise
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def holder(host: Host) -> Holder | None:
    """Return who changes the node right now; what a killed one left of itself is removed."""
    try:
        descriptor = os.open(host.path(_LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not _taken(descriptor, fcntl.LOCK_SH):
            return _holder(descriptor)
        _clean_up(host, descriptor)
        return None
    finally:
        os.close(descriptor)


def _code(file: Path) -> str:
    """The temporary folder that this code runs from, if it runs from one."""
    return next((str(folder) for folder in file.parents if _UNPACKED.fullmatch(str(folder))), "")


def _clean_up(host: Host, descriptor: int) -> None:
    """Remove the code of a holder that was killed: whoever ended orderly has emptied the lock file."""
    folder = _holder(descriptor).code
    if _UNPACKED.fullmatch(folder):
        shutil.rmtree(host.path(folder), ignore_errors=True)


def _taken(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> Holder:
    try:
        return wire.load(Holder, json.loads(os.pread(descriptor, 4096, 0)))
    except ValueError:
        return Holder("unknown", "")
