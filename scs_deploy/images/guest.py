"""The smoke test's guest: a disk image of 64 MiB that boots in seconds and says on its console what it sees."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from scs_deploy.catalogue.release import Release
from scs_deploy.errors import DeployError
from scs_deploy.images.recipe import Recipe
from scs_deploy.images.schedule import OnEvent, Options, build_recipe, silent
from scs_deploy.machine.engine import EngineProgram, find_engine
from scs_deploy.machine.paths import cache_dir

SOURCES = Path(__file__).parent / "guest_files"
INSIDE = "/var/lib/scs-guest/guest.raw"
PLACE = "/usr/share/scs-guest"
PACKAGES = (
    "busybox-static",
    "cpio",
    "dosfstools",
    "fdisk",
    "kmod",
    "mtools",
    "syslinux",
    "syslinux-common",
    "xz-utils",
    "zstd",
)
FILES = ("make.sh", "init", "dhcp", "disk", "power", "syslinux.cfg")


@dataclass(frozen=True, slots=True)
class Guest:
    """A raw disk image on this machine."""

    path: Path
    sha256: str
    size: int


def recipe(release: Release) -> Recipe:
    """The container image that holds the disk image; its digest is what tells whether a new one is due."""
    return Recipe(
        name="guest",
        parent="base",
        packages=PACKAGES,
        commands=(f"sh {PLACE}/make.sh",),
        files={f"{PLACE}/{name}": (SOURCES / name).read_text() for name in FILES},
        suite=release.suite,
    )


def ensure(
    release: Release, *, progress: OnEvent = silent, options: Options | None = None, engine: EngineProgram | None = None
) -> Guest:
    """The guest's disk image in the cache folder; built when the recipe or what is below it changed (under a minute)."""
    engine = engine or find_engine()
    image = build_recipe(recipe(release), release, progress=progress, options=options, engine=engine)
    folder = cache_dir() / "guest"
    folder.mkdir(exist_ok=True)
    path = folder / f"{image.id[:16]}.raw"
    if not path.is_file():
        for old in folder.iterdir():
            old.unlink()
        fresh = f"{os.getpid()}.new"
        copy = ["cp", "--sparse=always", INSIDE, f"/out/{fresh}"]
        engine.run(["run", "--rm", "--network", "none", "--volume", f"{folder}:/out", image.id, *copy])
        (folder / fresh).replace(path)
    size = path.stat().st_size
    if not size:
        raise DeployError("the guest's disk image is empty", where=str(path), fix="delete it and run again")
    with path.open("rb") as stream:
        return Guest(path, hashlib.file_digest(stream, "sha256").hexdigest(), size)
