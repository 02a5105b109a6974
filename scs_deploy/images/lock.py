"""``images.lock`` in the region folder: which image IDs a region runs, with the exact version of every package in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from scs_deploy.errors import Finding, InputError
from scs_deploy.machine.files import write_atomic

LOCK_FILE = "images.lock"


class LockedImage(BaseModel):
    """One image; ``id`` is the config digest (64 hex digits), ``packages`` maps name to Debian version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    reference: str
    packages: dict[str, str]
    packages_digest: str

    @classmethod
    def of(cls, image_id: str, reference: str, packages: Mapping[str, str]) -> LockedImage:
        return cls(id=image_id, reference=reference, packages=dict(packages), packages_digest=packages_digest(packages))


class ImagesLock(BaseModel):
    """The whole file; JSON, since a YAML reader takes seconds for some ten thousand package lines."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    release: str
    images: dict[str, LockedImage] = {}


def packages_digest(packages: Mapping[str, str]) -> str:
    """sha256 of the sorted ``name=version`` lines: equal for two builds that hold the same packages."""
    return hashlib.sha256("\n".join(sorted(f"{name}={packages[name]}" for name in packages)).encode()).hexdigest()


def read_lock(folder: Path) -> ImagesLock:
    """Raises InputError when the file is missing or not a lock file, saying how to make it."""
    path = folder / LOCK_FILE
    try:
        return ImagesLock.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(
            Finding("no images are locked for this region", file=str(path), fix="scs-deploy image build")
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            Finding(
                "not an images.lock",
                file=str(path),
                path=".".join(str(part) for part in first["loc"]),
                why=first["msg"],
                fix="take it back from version control, or remove it and run scs-deploy image build",
            )
        ) from error


def write_lock(folder: Path, release: str, images: Mapping[str, LockedImage]) -> bool:
    """Add ``images`` to the lock (a lock of another release is replaced); False when nothing changed, no file is touched."""
    path = folder / LOCK_FILE
    before = read_lock(folder) if path.exists() else ImagesLock(release=release)
    kept = before.images if before.release == release else {}
    after = ImagesLock(release=release, images=dict(sorted({**kept, **images}.items())))
    if after == before and path.exists():
        return False
    text = json.dumps(after.model_dump(), indent=1, sort_keys=True) + "\n"
    write_atomic(path, text, 0o644)
    return True
