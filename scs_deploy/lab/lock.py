"""One change of a lab at a time: a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from scs_deploy.errors import LockedError


@contextlib.contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold the lock; ``remove`` deletes its file at the end. Raises LockedError when another process holds it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                "another process is changing this lab", where=str(path), fix="wait for it, or end it, and run again"
            ) from error
        try:
            yield
        finally:
            if remove:
                path.unlink(missing_ok=True)
