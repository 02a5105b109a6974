"""What was on the node before scs-deploy wrote there: kept once, and given back when the file is not managed any more."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from . import files, records
from .host import Host
from .paths import CONFIG_ROOT, STATE_ROOT

FOLDER = f"{STATE_ROOT}/originals"


def keep(host: Host, paths: Iterable[str]) -> None:
    """Keep the files that exist at these paths and are nobody's; to be called before the manifest names them as ours."""
    ours = {path for entry in records.manifest(host).values() for path in entry.files}
    for name in paths:
        path, kept = host.path(name), host.path(FOLDER + name)
        if name in ours or name.startswith(f"{CONFIG_ROOT}/"):
            continue
        if path.is_file() and not path.is_symlink():
            _copy(path, kept)
        else:
            kept.unlink(missing_ok=True)


def give_back(host: Host, name: str) -> str:
    """Remove a file, or put back what was there before; tell what was done, or nothing.

    The kept copy stays, so that a run that was killed here does the same again.
    """
    path, kept = host.path(name), host.path(FOLDER + name)
    if kept.is_file():
        _copy(kept, path)
        return f"put back {name}"
    return f"deleted {name}" if files.delete(path) else ""


def _copy(source: Path, target: Path) -> None:
    found = source.stat()
    files.write(target, source.read_bytes(), found.st_mode & 0o7777, found.st_uid, found.st_gid)
    shutil.copystat(source, target)
