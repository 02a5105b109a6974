"""Private folders: where a run of Ansible keeps what nobody else may read. None outlives its run for long."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scs_deploy.machine import paths

LOCK = "lock"
"""File in a private folder, locked as long as its run lives; the kernel unlocks it however the run ends."""

_PREFIX = "run-"


class Folder:
    """A new private folder, until ``remove``; making one sweeps those of killed runs."""

    def __init__(self) -> None:
        with _guard():
            _sweep()
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_root()))
            # Closed on exec, so that nothing that is started here holds it on.
            self._lock = (self.path / LOCK).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep() -> None:
    """Remove the folders of runs that were killed."""
    with _guard():
        _sweep()


def _root() -> Path:
    root = paths.state_dir() / "private"
    root.mkdir(mode=0o700, exist_ok=True)
    return root


@contextmanager
def _guard() -> Iterator[None]:
    """Folders are made and swept by one process at a time: so none is swept before its run has locked it."""
    with (paths.state_dir() / "private.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _sweep() -> None:
    for folder in _root().glob(f"{_PREFIX}*"):
        if not _lives(folder):
            # Ansible may have outlived its run. It finds no payload any more, and ends.
            shutil.rmtree(folder, ignore_errors=True)


def _lives(folder: Path) -> bool:
    try:
        with (folder / LOCK).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
