"""Private folders: where a run of Ansible keeps what nobody else may read. None outlives its run for long."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from scs_deploy.machine import locks, paths

LOCK = "lock"
"""File in a private folder, locked as long as its run lives; the kernel unlocks it however the run ends."""

_PREFIX = "run-"


class RunFolder:
    """A new private folder, until ``remove``; making one sweeps those of killed runs."""

    def __init__(self) -> None:
        with _guard():
            _sweep()
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_root()))
            self._lock = ExitStack()
            self._lock.enter_context(locks.locked(self.path / LOCK))

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


def _guard() -> AbstractContextManager[None]:
    """Folders are made and swept by one process at a time: so none is swept before its run has locked it."""
    return locks.locked(paths.state_dir() / "private.lock")


def _sweep() -> None:
    for folder in _root().glob(f"{_PREFIX}*"):
        if not locks.is_locked(folder / LOCK):
            # Ansible may have outlived its run. It finds no payload any more, and ends.
            shutil.rmtree(folder, ignore_errors=True)
