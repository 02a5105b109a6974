"""Images as a client sees them: uploaded in both ways, told apart, served whole and closed to others; nothing blocks the API."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from proofs.deployment import until

DATA = {"Content_Type": "application/octet-stream"}
CONTENT = bytes(range(256)) * (4 << 12)
"""4 MiB that are no zeros."""


def _image(cloud: Any) -> str:
    body = {"name": f"molecule-{uuid.uuid4().hex[:8]}", "disk_format": "raw", "container_format": "bare"}
    made = cloud.ask("POST", "image", "/v2/images", body)
    assert made.status == 201, made.body
    return str(made.json["id"])


@pytest.fixture
def image(cloud: Any) -> Iterator[str]:
    key = _image(cloud)
    yield key
    assert cloud.ask("DELETE", "image", f"/v2/images/{key}").status == 204


def _active(cloud: Any, key: str, seconds: float = 60) -> Any:
    def shown() -> Any:
        found = cloud.ask("GET", "image", f"/v2/images/{key}").json
        return found if found["status"] == "active" else None

    return until(shown, f"image {key} is active", seconds, 0.5)


def _pieces() -> Iterator[bytes]:
    for start in range(0, len(CONTENT), 100_000):
        yield CONTENT[start : start + 100_000]


@pytest.mark.parametrize("chunked", [False, True])
def test_what_is_uploaded_comes_back(cloud: Any, image: str, chunked: bool) -> None:
    body = _pieces() if chunked else CONTENT
    assert cloud.ask("PUT", "image", f"/v2/images/{image}/file", body, **DATA).status == 204
    shown = _active(cloud, image)
    assert (shown["size"], shown["os_hash_value"]) == (len(CONTENT), hashlib.sha512(CONTENT).hexdigest())
    answer = cloud.ask("GET", "image", f"/v2/images/{image}/file")
    assert answer.body == CONTENT
    assert int(answer.headers["Content-Length"]) == len(CONTENT), "a download that breaks off would not be noticed"


def test_an_upload_can_be_imported(cloud: Any, image: str) -> None:
    assert cloud.ask("PUT", "image", f"/v2/images/{image}/stage", CONTENT, **DATA).status == 204
    how = {"method": {"name": "glance-direct"}}
    assert cloud.ask("POST", "image", f"/v2/images/{image}/import", how).status == 202
    assert _active(cloud, image)["os_hash_value"] == hashlib.sha512(CONTENT).hexdigest()


def test_an_owner_cannot_say_where_the_data_is(cloud: Any, member: Any) -> None:
    """Nova may, on its behalf; an owner could name data of others."""
    key = _image(member)
    patch = [{"op": "add", "path": "/locations/-", "value": {"url": "rbd://a/images/b/snap", "metadata": {}}}]
    kind = {"Content_Type": "application/openstack-images-v2.1-json-patch"}
    answer = member.ask("PATCH", "image", f"/v2/images/{key}", patch, **kind)
    assert cloud.ask("DELETE", "image", f"/v2/images/{key}").status == 204
    assert (answer.status, b"not authorized" in answer.body.lower() or b"disallowed" in answer.body.lower()) == (
        403,
        True,
    ), answer.body


def test_other_requests_are_served_while_an_upload_crawls(cloud: Any, image: str) -> None:
    go_on = threading.Event()

    def slowly() -> Iterator[bytes]:
        yield CONTENT[:1000]
        go_on.wait(60)
        yield CONTENT[1000:2000]

    uploads = [
        threading.Thread(target=cloud.ask, args=("PUT", "image", f"/v2/images/{image}/file", slowly()), kwargs=DATA)
    ]
    uploads[0].start()
    time.sleep(1)
    try:
        assert cloud.ask("GET", "image", "/v2/images?limit=1").status == 200
    finally:
        go_on.set()
        uploads[0].join()
    assert _active(cloud, image)["size"] == 2000


def test_where_an_image_lies_tells_no_secret(cloud: Any, image: str, vault: Any) -> None:
    cloud.ask("PUT", "image", f"/v2/images/{image}/file", b"x", **DATA)
    url = str(_active(cloud, image).get("direct_url", ""))
    assert not url or url.startswith("rbd://")
    assert str(vault.get("ceph-client-glance")) not in url


def test_properties_are_defined(cloud: Any) -> None:
    names = [one["namespace"] for one in cloud.ask("GET", "image", "/v2/metadefs/namespaces").json["namespaces"]]
    assert "OS::Compute::LibvirtImage" in names


def test_without_a_token_it_is_closed(cloud: Any) -> None:
    assert cloud.send("GET", cloud.urls["image", "public"] + "/v2/images").status == 401
