"""Locks that end with the process that holds them, however that ends: of a file or folder, and of a region."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from scs_deploy.errors import DeployError, LockedError
from scs_deploy.machine.waiting import wait_for

FILE = "apply.lock"


@contextmanager
def locked(path: Path, busy: Callable[[], None] = lambda: None, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, or of a file, which is made when it is not there; ``remove`` deletes that at the end.

    ``busy`` is called while another process holds it: what it raises ends it, else that process is waited for.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _free(descriptor, fcntl.LOCK_EX):
            busy()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; one that does not exist is held by nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _free(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _free(descriptor: int, how: int) -> bool:
    """Take a lock if nobody holds it."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds, or held, a lock; ``since`` is ISO 8601, UTC."""

    user: str
    host: str
    pid: int
    since: str
    command: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}: {self.command}"


def me(command: str) -> LockHolder:
    """The running process as a holder."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return LockHolder(_user(), socket.gethostname(), os.getpid(), since, command)


class RegionLock:
    """Hold the lock of a region, whose state folder is given; ``command`` is shown to whoever finds it locked.

    ``with`` gives the holder that was killed while it held the lock, if there was one: its work may be half done. Entering
    raises ``LockedError`` at once when another process holds it.
    """

    def __init__(self, state: Path, command: str) -> None:
        self.path = state / FILE
        self._command = command
        self._descriptor = -1

    def __enter__(self) -> LockHolder | None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            why, fix = error.strerror or "", "check who may write there"
            raise DeployError("cannot be opened", where=str(self.path), why=why, fix=fix) from error
        if not _taken(self._descriptor):
            os.close(self._descriptor)
            raise _locked(self.path, holder(self.path.parent))
        killed = holder(self.path.parent)
        _write(self._descriptor, json.dumps(asdict(me(self._command))))
        return killed

    def __exit__(self, *_: object) -> None:
        # The file is never removed: another process could otherwise lock a file that has no name any more.
        try:
            _write(self._descriptor, "")
        finally:
            os.close(self._descriptor)


def check_free(state: Path) -> None:
    """Raise ``LockedError`` while a process holds the lock of a region; for those who only look, and hold nobody up."""
    if is_locked(state / FILE):
        raise _locked(state / FILE, holder(state))


def holder(state: Path) -> LockHolder | None:
    """Return who is written in the lock file of a region; that alone does not say whether the process is alive."""
    try:
        return LockHolder(**json.loads((state / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _taken(descriptor: int) -> bool:
    """Lock a file; somebody who only looks whether it is locked is gone in a moment."""
    return bool(wait_for(lambda: _free(descriptor, fcntl.LOCK_EX), 0.12, 0.04))


def _locked(path: Path, holder: LockHolder | None) -> LockedError:
    return LockedError(
        "another run is changing this region",
        where=str(path),
        why=f"held by {holder}" if holder else "its holder has just started",
        fix="wait until it ends, or stop it" + (f" (kill {holder.pid} on {holder.host})" if holder else ""),
    )


def _write(descriptor: int, text: str) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)
    os.fsync(descriptor)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
