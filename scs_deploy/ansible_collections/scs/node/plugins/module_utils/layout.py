"""Images that were brought to the node in a folder, an OCI image layout: found by ID, and given on as an archive that engines load."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Layers:
    """An image of a layout: the file of its configuration, and of each layer, by the digests (``sha256:…``) of their contents."""

    id: str
    config: Path
    layers: tuple[tuple[str, Path], ...]

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(digest for digest, _ in self.layers)


def find(folder: Path, image: str) -> Layers | None:
    """Return the image with an ID, which is the digest of its configuration; None when the folder does not hold all of it."""
    try:
        for entry in _json(folder / "index.json")["manifests"]:
            manifest = _json(_blob(folder, entry["digest"]))
            if manifest.get("config", {}).get("digest") == f"sha256:{image}":
                config = _blob(folder, manifest["config"]["digest"])
                files = [_blob(folder, layer["digest"]) for layer in manifest["layers"]]
                found = Layers(image, config, tuple(zip(_json(config)["rootfs"]["diff_ids"], files, strict=True)))
                return found if all(file.is_file() for file in files) else None
    except (OSError, ValueError, KeyError):
        pass
    return None


def archive(image: Layers, reference: str, known: int = 0) -> Iterator[bytes]:
    """Yield the pieces of a ``docker save`` archive; files of the first ``known`` layers, which the engine has, are left out."""
    named = [f"{digest.partition(':')[2]}.tar" for digest in image.digests]
    about = [{"Config": f"{image.id}.json", "RepoTags": [reference] if reference else [], "Layers": named}]
    yield from _member("manifest.json", json.dumps(about).encode())
    yield from _member(f"{image.id}.json", image.config.read_bytes())
    for name, (_, file) in dict(zip(named[known:], image.layers[known:], strict=True)).items():
        yield from _member(name, file)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, content: bytes | Path) -> Iterator[bytes]:
    about = tarfile.TarInfo(name)
    about.size = len(content) if isinstance(content, bytes) else content.stat().st_size
    yield about.tobuf(tarfile.PAX_FORMAT)
    if isinstance(content, bytes):
        yield content
    else:
        with content.open("rb") as stream:
            while piece := stream.read(_PIECE):
                yield piece
    yield bytes(-about.size % tarfile.BLOCKSIZE)


def _blob(folder: Path, digest: str) -> Path:
    kind, _, number = digest.partition(":")
    if not (kind.isalnum() and number.isalnum()):
        raise ValueError(f"not a digest: {digest}")
    return folder / "blobs" / kind / number


def _json(path: Path) -> dict:  # type: ignore[type-arg]
    data = json.loads(path.read_bytes())
    if not isinstance(data, dict):
        raise ValueError(f"{path} is not an object")
    return data
