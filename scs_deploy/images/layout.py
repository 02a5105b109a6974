"""Images in a folder, an OCI image layout with each layer once: how they get to nodes that do not see the controller's store."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import layout
from scs_deploy.errors import DeployError
from scs_deploy.images.lock import ImagesLock
from scs_deploy.machine.engine import EngineProgram, find_engine
from scs_deploy.machine.files import write_atomic
from scs_deploy.machine.locks import locked
from scs_deploy.machine.paths import cache_dir

_LOCK = "lock"


def shared_folder() -> Path:
    """Where lab nodes look for images; may be deleted at any time, nodes started before do not see a new one."""
    return cache_dir() / "images"


def missing(folder: Path, images: Collection[str]) -> list[str]:
    return [image for image in images if layout.find(folder, image) is None]


def export(
    folder: Path, lock: ImagesLock, wanted: Collection[str], progress: Callable[[str], None] = lambda text: None
) -> int:
    """Add the images of ``wanted`` (IDs) that the folder lacks, and remove what is stale there; return how many were added.

    Stale is what neither the region's ``lock`` nor a name in this machine's store stands for. Layers are not compressed: engines
    compare them by their contents. Raises DeployError when the store lacks an image, or the disk is full.
    """
    engine = find_engine()
    if engine.kind != "podman":
        raise DeployError(
            "images can only be exported by Podman",
            where="controller",
            why="Docker writes no OCI layout into a folder",
            fix="apt-get install podman, and unset SCS_DEPLOY_ENGINE",
        )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = {image.id: image.reference for image in lock.images.values()}
    with locked(folder / _LOCK):  # what a killed process left half-written is a blob nobody refers to
        lacking = missing(folder, wanted)
        _check_stored(engine, names, lacking)
        for image in lacking:
            progress(names.get(image, image[:12]))
            engine.run(["save", "--quiet", "--format", "oci-dir", "--uncompressed", "--output", str(folder), image])
        if left := missing(folder, wanted):
            raise DeployError("images were exported with another ID", where=str(folder), why=", ".join(left))
        if lacking:
            prune(folder, {*names, *_named(engine)})
    return len(lacking)


def prune(folder: Path, keep: Collection[str]) -> None:
    """Remove the images that are not in ``keep`` (IDs), and every blob that no image refers to."""
    path = folder / "index.json"
    index = json.loads(path.read_text())
    needed: set[str] = set()
    entries = []
    for entry in index["manifests"]:
        manifest = _blob(folder, entry["digest"])
        if manifest and manifest["config"]["digest"].partition(":")[2] in keep:
            entries.append(entry)
            parts = [entry, manifest["config"], *manifest["layers"]]
            needed |= {part["digest"].partition(":")[2] for part in parts}
    write_atomic(path, json.dumps({**index, "manifests": entries}), 0o644, sync=False)
    for blob in (folder / "blobs").glob("*/*"):
        if blob.name not in needed:
            blob.unlink()


def _named(engine: EngineProgram) -> Iterator[str]:
    return (image.id for image in engine.images() if image.references)


def _check_stored(engine: EngineProgram, names: Mapping[str, str], images: Collection[str]) -> None:
    absent = [names.get(image, image[:12]) for image in images if not engine.image_id(image)]
    if absent:
        raise DeployError(
            f"this machine's store lacks {len(absent)} image{'s' if len(absent) > 1 else ''}: {', '.join(absent)}",
            where="controller",
            why="images.lock names them by ID",
            fix="scs-deploy image build",
        )


def _blob(folder: Path, digest: str) -> dict[str, Any] | None:
    try:
        data = json.loads((folder / "blobs" / digest.replace(":", "/")).read_bytes())
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None
