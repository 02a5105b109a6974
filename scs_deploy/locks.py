"""One apply per region: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from scs_deploy.errors import DeployError, LockedError

FILE = "apply.lock"


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds, or held, a lock; ``since`` is ISO 8601, UTC."""

    user: str
    host: str
    pid: int
    since: str
    command: str

    def __str__(self) -> str:
        return f"{self.user}@{self.host}, process {self.pid}, since {self.since}: {self.command}"


def me(command: str) -> Holder:
    """The running process as a holder."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(_user(), socket.gethostname(), os.getpid(), since, command)


@contextmanager
def region_lock(state: Path, command: str) -> Iterator[Holder | None]:
    """Hold the lock of a region, whose state folder is given; ``command`` is shown to whoever finds it locked.

    Yields the holder that was killed while it held the lock, if there was one: its work may be half done. Raises ``LockedError``
    at once when another process holds it.
    """
    path = state / FILE
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DeployError(
            "cannot be opened", where=str(path), why=error.strerror or "", fix="check who may write"
        ) from error
    try:
        # The file is never removed: a second process could otherwise lock a file that has no name any more.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(path, holder(state)) from None
        killed = holder(state)
        _write(descriptor, json.dumps(asdict(me(command))))
        try:
            yield killed
        finally:
            _write(descriptor, "")
    finally:
        os.close(descriptor)


def holder(state: Path) -> Holder | None:
    """Return who is written in the lock file of a region; that alone does not say whether the process is alive."""
    try:
        return Holder(**json.loads((state / FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _locked(path: Path, holder: Holder | None) -> LockedError:
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
