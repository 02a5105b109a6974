"""Files of the controller that others read while they are written: whoever looks finds the old content or the new one."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

from scs_deploy.errors import DeployError

DAMAGED = (pickle.UnpicklingError, AttributeError, EOFError, ImportError, LookupError, OSError, TypeError, ValueError)
"""What pickle raises for a file that is not whole, or was written by something else."""


def write_atomic(path: Path, data: str | bytes, mode: int = 0o600, *, sync: bool = True) -> None:
    """Replace a file at once, text as UTF-8, with exactly this ``mode``; with ``sync`` it also outlives a loss of power.

    Raises ``DeployError`` when it cannot be written; then the old content stays.
    """
    try:
        descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(descriptor, mode)
                stream.write(data.encode() if isinstance(data, str) else data)
                stream.flush()
                if sync:
                    os.fsync(descriptor)
            Path(fresh).replace(path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
        if sync:
            _sync(path.parent)
    except OSError as error:
        why, fix = error.strerror or str(error), "check the disk and who may write"
        raise DeployError("cannot be written", where=str(path), why=why, fix=fix) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
