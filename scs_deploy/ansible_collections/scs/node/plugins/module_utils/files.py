"""Files on the node: written so that a crash leaves the old or the new content, and compared without sending content around."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from . import mask
from .question import LINES_LIMIT, TEXT_LIMIT, FileMark, FileSeen, FolderMark, FolderSeen
from .work import FileContent


def temporary(path: Path) -> Path:
    """Where the new content grows; a fixed name, so that a leftover of a killed run is found and reused."""
    return path.with_name(f".{path.name}.scs-deploy-new")


def write(path: Path, content: bytes, mode: int, uid: int, gid: int) -> None:
    """Put content, owner and mode in place at once, on disk before it returns; raise OSError."""
    make_parents(path.parent)
    new = temporary(path)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        new.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk shows at a descriptor, which has no name
        new.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_wanted(path: Path, wanted: FileContent) -> None:
    """Write one file of a converge step."""
    write(path, wanted.text.encode(), int(wanted.mode, 8), wanted.uid, wanted.gid)


def make_parents(folder: Path) -> None:
    if not folder.is_dir():
        make_parents(folder.parent)
        folder.mkdir(mode=0o755, exist_ok=True)
        folder.chmod(0o755)


def make_folder(path: Path, mode: int, uid: int, gid: int) -> bool:
    """Make a folder as wanted; tell whether anything was changed."""
    if not path.is_dir():
        make_parents(path.parent)
        path.mkdir(mode=0o700)
    found = path.stat()
    if (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, uid, gid):
        return False
    os.chown(path, uid, gid)
    path.chmod(mode)
    sync_folder(path.parent)
    return True


def delete(path: Path) -> bool:
    """Remove a file and what it left half-written; tell whether it was there."""
    temporary(path).unlink(missing_ok=True)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True


def prune_empty(folder: Path, top: Path) -> None:
    """Remove ``folder`` and its parents below ``top`` as long as they are empty."""
    while folder != top and top in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def prune_below(folder: Path) -> None:
    """Remove ``folder`` and every empty folder below it."""
    below_it = (Path(parent, name) for parent, names, _ in os.walk(folder, topdown=False) for name in names)
    for found in [*below_it, folder]:
        with contextlib.suppress(OSError):  # not empty, a link, or not there
            found.rmdir()


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def compare_file(path: Path, wanted: FileMark, keys: Sequence[str], opaque: bool) -> FileSeen | None:
    """Return how a file differs, None when it does not."""
    digest, mode, uid, gid = wanted
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return FileSeen("absent")
    content = path.read_bytes() if stat.S_ISREG(found.st_mode) else None
    same = content is not None and hashlib.sha256(content).hexdigest() == digest
    owner = (f"{stat.S_IMODE(found.st_mode):04o}", found.st_uid, found.st_gid)
    if same and owner == (mode, uid, gid):
        return None
    text = None if same or opaque or content is None else _shown(content, keys)
    return FileSeen("differs", *owner, same_content=same, text=text, changed=found.st_ctime)


def compare_folder(path: Path, wanted: FolderMark) -> FolderSeen | None:
    """Return how a folder differs, None when it does not."""
    mode, uid, gid = wanted
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return FolderSeen("absent")
    owner = (f"{stat.S_IMODE(found.st_mode):04o}", found.st_uid, found.st_gid)
    if stat.S_ISDIR(found.st_mode) and owner == (mode, uid, gid):
        return None
    return FolderSeen("differs", *owner)


def below(folder: Path) -> list[Path]:
    """Return every file below ``folder``, links not followed."""
    return [Path(parent, name) for parent, _, names in os.walk(folder) for name in names] + [
        Path(parent, name) for parent, names, _ in os.walk(folder) for name in names if Path(parent, name).is_symlink()
    ]


def _shown(content: bytes, keys: Sequence[str]) -> str | None:
    if len(content) > TEXT_LIMIT:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return mask.mask(text, keys) if len(text.splitlines()) <= LINES_LIMIT else None
