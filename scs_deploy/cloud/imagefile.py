"""Files of images on this machine: downloaded once, checked, and turned into the format that the cloud stores."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from scs_deploy.catalogue.release import load_release, release_names
from scs_deploy.cloud.spec import FILE, ImageSection
from scs_deploy.errors import DeployError
from scs_deploy.images.recipe import Recipe
from scs_deploy.images.schedule import build_recipe
from scs_deploy.machine.engine import find_engine
from scs_deploy.machine.paths import cache_dir

CHUNK = 1 << 20
TIMEOUT_SECONDS = 60
TOOLS = Recipe(name="image-tools", parent="base", packages=("qemu-utils",))


@dataclass(frozen=True, slots=True)
class ImageFile:
    path: Path
    built: str
    """The day its source last changed, as scs-0102 wants it."""


def checksum(image: ImageSection, folder: Path) -> str:
    """``sha256:…`` of the file that an image is made from; asks the list of checksums of its publisher when there is one."""
    if image.checksum:
        return image.checksum
    if image.file:
        return f"sha256:{_hash(_local(image, folder), 'sha256')}"
    listed = _get(str(image.checksum_url)).text
    name = str(image.url).rpartition("/")[2]
    line = next((line for line in listed.splitlines() if re.search(rf"(^|[ *(]){re.escape(name)}($|\))", line)), "")
    found = re.search(r"\b([0-9a-f]{128}|[0-9a-f]{64})\b", line)
    if not found:
        why = f"no line names {name}"
        raise DeployError(
            "the checksum is not there", where=str(image.checksum_url), why=why, fix=f"correct url in {FILE}"
        )
    return f"{'sha256' if len(found[1]) == 64 else 'sha512'}:{found[1]}"


def ready(image: ImageSection, folder: Path) -> ImageFile:
    """The file to upload, checked against its checksum."""
    source = _local(image, folder) if image.file else _downloaded(image, checksum(image, folder))
    if image.checksum:
        _verify(source, image.checksum)
    if image.format != image.store:
        source = _converted(source)
    size = _virtual_size(source, image.store)
    if size > image.min_disk << 30:
        raise DeployError(
            f"the disk of image {image.name} is larger than its min_disk",
            where=str(source),
            why=f"{size} bytes inside, min_disk says {image.min_disk} GiB",
            fix=f"write min_disk: {-(-size // (1 << 30))} in {FILE}",
        )
    built = datetime.fromtimestamp(source.stat().st_mtime, UTC)
    return ImageFile(source, built.strftime("%Y-%m-%d"))


def _local(image: ImageSection, folder: Path) -> Path:
    path = folder / image.file
    if not path.is_file():
        raise DeployError(f"the file of image {image.name} is missing", where=str(path), fix=f"correct file in {FILE}")
    return path


def _downloaded(image: ImageSection, wanted: str) -> Path:
    """The file in the cache, downloaded when it is not there; its time is that of the publisher's file."""
    cache = _cache()
    path = cache / f"{wanted.partition(':')[2][:32]}.{image.format}"
    if path.is_file():
        return path
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with _get(str(image.url), stream=True) as answer, part.open("wb") as out:
            for chunk in answer.iter_content(CHUNK):
                out.write(chunk)
            changed = answer.headers.get("Last-Modified", "")
        _verify(part, wanted, str(image.url))
        if changed:
            when = parsedate_to_datetime(changed).timestamp()
            os.utime(part, (when, when))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _get(url: str, *, stream: bool = False) -> Any:
    import requests

    try:
        answer = requests.get(url, timeout=TIMEOUT_SECONDS, stream=stream)
        answer.raise_for_status()
    except requests.RequestException as error:
        fix = "check network and proxy; without internet, give a file of this machine instead"
        raise DeployError("cannot be downloaded", where=url, why=str(error), fix=fix) from error
    return answer


def _verify(path: Path, wanted: str, where: str = "") -> None:
    kind, _, digest = wanted.partition(":")
    got = _hash(path, kind)
    if got != digest:
        why, fix = (
            f"{kind} is {got}, expected is {digest}",
            "nothing was uploaded; check the source, or correct checksum",
        )
        raise DeployError("the checksum does not match", where=where or str(path), why=why, fix=fix)


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _converted(source: Path) -> Path:
    """The same disk as raw, kept in the cache; its time is that of the source."""
    stat = source.stat()
    mark = hashlib.sha256(f"{source.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:32]
    path = _cache() / f"{mark}.raw"
    if not path.is_file():
        part = f"{mark}.{os.getpid()}.part"
        try:
            _qemu_img(source, ["convert", "-t", "none", "-O", "raw", "/in/disk", f"/out/{part}"])
            os.utime(_cache() / part, (stat.st_mtime, stat.st_mtime))
            (_cache() / part).replace(path)
        finally:
            (_cache() / part).unlink(missing_ok=True)
    return path


def _virtual_size(path: Path, kind: str) -> int:
    if kind == "raw":
        return path.stat().st_size
    return int(json.loads(_qemu_img(path, ["info", "--output", "json", "/in/disk"]))["virtual-size"])


def _qemu_img(source: Path, arguments: list[str]) -> str:
    """qemu-img in a container, since a controller has only an engine."""
    engine = find_engine()
    tools = build_recipe(TOOLS, load_release(release_names()[-1]), engine=engine)
    volumes = ["--volume", f"{source.resolve()}:/in/disk:ro", "--volume", f"{_cache()}:/out"]
    return engine.run(["run", "--rm", "--network", "none", *volumes, tools.id, "qemu-img", *arguments]).stdout


def _cache() -> Path:
    folder = cache_dir() / "cloud-images"
    folder.mkdir(exist_ok=True)
    return folder
