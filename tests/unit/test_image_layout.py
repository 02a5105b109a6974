"""Images in a folder: what a node finds there, the archive it gives to its engine, and what is removed as stale."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from scs_deploy.ansible_collections.scs.node.plugins.module_utils import layout
from scs_deploy.images.layout import prune


def blob(folder: Path, content: bytes) -> str:
    number = hashlib.sha256(content).hexdigest()
    path = folder / "blobs" / "sha256" / number
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"sha256:{number}"


def add(folder: Path, *layers: bytes) -> str:
    """Write an image as Podman does; return its ID."""
    digests = [blob(folder, layer) for layer in layers]
    config = blob(folder, json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": digests}}).encode())
    manifest = {"config": {"digest": config}, "layers": [{"digest": digest} for digest in digests]}
    entry = {"digest": blob(folder, json.dumps(manifest).encode())}
    index = folder / "index.json"
    before = json.loads(index.read_text())["manifests"] if index.exists() else []
    index.write_text(json.dumps({"schemaVersion": 2, "manifests": [*before, entry]}))
    return config.partition(":")[2]


def unpacked(pieces: object) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:  # type: ignore[call-overload]
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_an_image_is_found_by_its_id_and_given_as_an_archive(tmp_path: Path) -> None:
    add(tmp_path, b"base", b"other")
    image = add(tmp_path, b"base", b"x" * 3_000_000)
    found = layout.find(tmp_path, image)
    assert found
    files = unpacked(layout.archive(found, "localhost/app:1"))
    (about,) = json.loads(files["manifest.json"])
    assert about["RepoTags"] == ["localhost/app:1"]
    assert hashlib.sha256(files[about["Config"]]).hexdigest() == image
    assert [files[name] for name in about["Layers"]] == [b"base", b"x" * 3_000_000]


def test_layers_that_the_engine_has_are_named_and_not_sent(tmp_path: Path) -> None:
    found = layout.find(tmp_path, add(tmp_path, b"base", b"top"))
    assert found
    files = unpacked(layout.archive(found, "", 1))
    (about,) = json.loads(files["manifest.json"])
    assert [files.get(name) for name in about["Layers"]] == [None, b"top"]


@pytest.mark.parametrize("harm", ["absent", "layer", "index", "digest"])
def test_a_folder_that_lacks_something_holds_no_image(tmp_path: Path, harm: str) -> None:
    image = add(tmp_path, b"base")
    if harm == "layer":
        (tmp_path / "blobs/sha256" / hashlib.sha256(b"base").hexdigest()).unlink()
    if harm == "index":
        (tmp_path / "index.json").write_text("{")
    if harm == "digest":
        (tmp_path / "index.json").write_text('{"manifests": [{"digest": "sha256:../../etc/passwd"}]}')
    folder = tmp_path / "nothing" if harm == "absent" else tmp_path
    assert layout.find(folder, image) is None


def test_stale_images_go_with_the_layers_that_nobody_else_has(tmp_path: Path) -> None:
    old, new = add(tmp_path, b"base", b"old"), add(tmp_path, b"base", b"new")
    half = tmp_path / "blobs" / "sha256" / "half-written"
    half.write_bytes(b"of a killed run")
    prune(tmp_path, {new})
    assert layout.find(tmp_path, old) is None
    assert layout.find(tmp_path, new)
    kept = {path.read_bytes() for path in (tmp_path / "blobs").glob("*/*")}
    assert {b"base", b"new"} <= kept
    assert not {b"old", b"of a killed run"} & kept
