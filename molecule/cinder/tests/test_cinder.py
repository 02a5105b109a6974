"""Volumes as a client uses them: made, grown, snapshotted, cloned, filled from an image, backed up and restored; nothing is left."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from engine import ENGINE

from proofs.deployment import until

KIND = "block-storage"
DATA = {"Content_Type": "application/octet-stream"}
CONTENT = bytes(range(256)) * (4 << 12)


def _digest(content: bytes, size: int) -> str:
    """The SHA-512 of content with zeros up to a size."""
    digest, zeros = hashlib.sha512(content), bytes(1 << 20)
    for _ in range((size - len(content)) >> 20):
        digest.update(zeros)
    return digest.hexdigest()


class Things:
    """What a test makes, deleted again in the reverse order."""

    def __init__(self, cloud: Any) -> None:
        self.cloud, self.made = cloud, list[tuple[str, str]]()

    def make(self, kind: str, **attrs: Any) -> Any:
        """Make a volume, snapshot or backup and wait until it is available."""
        answer = self.cloud.ask(
            "POST", KIND, f"/{kind}s", {kind: {"name": f"molecule-{uuid.uuid4().hex[:8]}", **attrs}}
        )
        assert answer.status == 202, answer.body
        key = answer.json[kind]["id"]
        self.made.append((kind, key))
        return self.until(kind, key, "available")

    def until(self, kind: str, key: str, status: str, seconds: float = 120) -> Any:
        def shown() -> Any:
            found = self.cloud.ask("GET", KIND, f"/{kind}s/{key}").json[kind]
            assert status == found["status"] or "error" not in found["status"], found
            return found if found["status"] == status else None

        return until(shown, f"{kind} {key} is {status}", seconds, 1)

    def remove(self) -> None:
        for kind, key in reversed(self.made):
            self.cloud.ask("DELETE", KIND, f"/{kind}s/{key}")
            path = f"/{kind}s/{key}"
            until(lambda path=path: self.cloud.ask("GET", KIND, path).status == 404, f"{kind} {key} is gone", 60, 1)


@pytest.fixture
def things(cloud: Any) -> Iterator[Things]:
    found = Things(cloud)
    try:
        yield found
    finally:
        found.remove()


@pytest.fixture
def image(cloud: Any) -> Iterator[str]:
    body = {"name": "molecule-cinder", "disk_format": "raw", "container_format": "bare"}
    key = cloud.ask("POST", "image", "/v2/images", body).json["id"]
    assert cloud.ask("PUT", "image", f"/v2/images/{key}/file", CONTENT, **DATA).status == 204
    yield key
    assert cloud.ask("DELETE", "image", f"/v2/images/{key}").status == 204


def test_all_services_are_up(cloud: Any) -> None:
    services = cloud.ask("GET", KIND, "/os-services").json["services"]
    assert {one["binary"] for one in services} == {"cinder-scheduler", "cinder-volume", "cinder-backup"}
    assert {one["state"] for one in services} == {"up"}


def test_a_volume_grows_and_is_snapshotted_and_cloned(cloud: Any, things: Things) -> None:
    volume = things.make("volume", size=1)
    grown = cloud.ask("POST", KIND, f"/volumes/{volume['id']}/action", {"os-extend": {"new_size": 2}})
    assert grown.status == 202
    things.until("volume", volume["id"], "available")
    snapshot = things.make("snapshot", volume_id=volume["id"])
    assert things.make("volume", size=2, snapshot_id=snapshot["id"])["size"] == 2
    assert things.make("volume", size=2, source_volid=volume["id"])["size"] == 2


def test_a_volume_is_filled_from_an_image_and_uploaded_as_one(cloud: Any, image: str, things: Things) -> None:
    volume = things.make("volume", size=1, imageRef=image)
    assert volume["bootable"] == "true"
    ask = {
        "os-volume_upload_image": {"image_name": "molecule-upload", "disk_format": "raw", "container_format": "bare"}
    }
    made = cloud.ask("POST", KIND, f"/volumes/{volume['id']}/action", ask)
    assert made.status == 202, made.body
    upload = made.json["os-volume_upload_image"]["image_id"]
    try:
        things.until("volume", volume["id"], "available")
        shown = cloud.ask("GET", "image", f"/v2/images/{upload}").json
        assert (shown["size"], shown["os_hash_value"]) == (1 << 30, _digest(CONTENT, 1 << 30))
    finally:
        assert cloud.ask("DELETE", "image", f"/v2/images/{upload}").status == 204


def test_a_volume_is_backed_up_and_restored(cloud: Any, image: str, things: Things) -> None:
    volume = things.make("volume", size=1, imageRef=image)
    backup = things.make("backup", volume_id=volume["id"])
    more = things.make("backup", volume_id=volume["id"], incremental=True)
    assert more["is_incremental"]
    made = cloud.ask("POST", KIND, f"/backups/{backup['id']}/restore", {"restore": {}})
    assert made.status == 202, made.body
    restored = made.json["restore"]["volume_id"]
    things.made.append(("volume", restored))
    things.until("backup", backup["id"], "available")
    things.until("volume", restored, "available")


def test_both_names_of_the_catalogue_lead_here(cloud: Any) -> None:
    assert cloud.urls["block-storage", "public"] == cloud.urls["volumev3", "public"]
    assert cloud.ask("GET", "volumev3", "/volumes").status == 200


def test_nothing_in_the_containers_can_become_root(host: Any) -> None:
    assert "exec" in host.check_output(f"{ENGINE} exec cinder-volume cat /usr/local/bin/sudo")
    assert host.check_output(f"{ENGINE} exec cinder-volume sudo cinder-rootwrap /etc/cinder/rootwrap.conf id -u") != "0"
