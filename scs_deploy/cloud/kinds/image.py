"""Images with the metadata of scs-0102. New content takes the name; what had it is hidden and named after its day."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scs_deploy.cloud import imagefile
from scs_deploy.cloud.plan import Attrs, ContentChange, ContentInputs, ContentItem, ContentKind
from scs_deploy.cloud.spec import ImageSection

CHECKSUM = "scs_source_checksum"
"""Property that tells from which file an image was made."""

MANAGED_TAG = "managed_by_scs-deploy"


class Images(ContentKind):
    title = "image"
    api = ("image",)
    fixed = frozenset({CHECKSUM, "disk_format"})
    replaceable = True

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        return [
            ContentItem(
                one.name, attrs(one, world.checksums[one.name]), {"section": one, "folder": world.region.folder}
            )
            for one in world.images
        ]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        found: dict[str, Attrs] = {}
        for item in wanted:
            for one in _listed(api, item.name):
                if one["status"] == "active" and one.get("os_hidden") is not True:
                    found[item.name] = one
        return found

    def create(self, api: Any, item: ContentItem) -> None:
        for one in _listed(api, item.name):
            if one["status"] in ("queued", "saving") and MANAGED_TAG in one["tags"]:
                _delete(api, one["id"])  # left by a run that was killed
        section: ImageSection = item.once["section"]
        file = imagefile.ready(section, item.once["folder"])
        wanted = {key: value for key, value in item.attrs.items() if key != "visibility"}
        body = {"name": item.name, "container_format": "bare", "visibility": "private", **wanted}
        body["image_build_date"] = section.build_date or file.built
        image = _done(api.image.post("/images", json=body)).json()
        try:
            with file.path.open("rb") as stream:
                headers = {"Content-Type": "application/octet-stream"}
                _done(api.image.put(f"/images/{image['id']}/file", data=stream, headers=headers, timeout=3600))
            if item.attrs["visibility"] != "private":
                _patch(api, image["id"], {"visibility": item.attrs["visibility"]}, image)
        except BaseException:
            with contextlib.suppress(Exception):
                _delete(api, image["id"])
            raise

    def update(self, api: Any, change: ContentChange) -> None:
        _patch(api, change.current["id"], {one.what: one.wanted for one in change.differences}, change.current)

    def replace(self, api: Any, change: ContentChange) -> None:
        old = change.current
        self.create(api, change.item)
        built = re.sub(r"\D", "", str(old.get("image_build_date", "")))[:8]
        day = built or datetime.now(UTC).strftime("%Y%m%d")
        hidden: dict[str, Any] = {"name": f"{change.item.name} {day}", "os_hidden": True}
        if old.get("os_purpose") == "generic":
            hidden["os_purpose"] = "oldgeneric"
        _patch(api, old["id"], hidden, old)


def attrs(image: ImageSection, checksum: str) -> dict[str, Any]:
    """An image as it is compared and shown."""
    properties = {
        "architecture": image.architecture,
        "os_distro": image.os_distro,
        "os_version": image.os_version,
        "os_purpose": image.os_purpose,
        "os_type": "linux",
        "hw_disk_bus": image.disk_bus,
        **({"hw_scsi_model": "virtio-scsi"} if image.disk_bus == "scsi" else {}),
        "hw_rng_model": "virtio",
        "hypervisor_type": "qemu",
        "image_original_user": image.user,
        "image_source": image.source or image.url or "private",
        "image_description": image.description,
        "replace_frequency": image.replace_frequency,
        "provided_until": image.provided_until,
        "uuid_validity": image.uuid_validity,
        CHECKSUM: checksum,
    }
    return {
        "visibility": image.visibility,
        "disk_format": image.store,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        **properties,
        **image.properties,
        "tags": sorted({*image.tags, MANAGED_TAG}),
    }


def _listed(api: Any, name: str) -> list[dict[str, Any]]:
    answer = _done(api.image.get("/images", params={"name": name, "limit": 100}))
    found: list[dict[str, Any]] = answer.json()["images"]
    return found


def _patch(api: Any, image: str, values: Mapping[str, Any], current: Attrs) -> None:
    operations = [
        {"op": "replace" if key in current else "add", "path": f"/{key}", "value": value}
        for key, value in values.items()
    ]
    headers = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
    _done(api.image.patch(f"/images/{image}", json=operations, headers=headers))


def _delete(api: Any, image: str) -> None:
    _done(api.image.delete(f"/images/{image}"))


def _done(answer: Any) -> Any:
    from openstack import exceptions

    exceptions.raise_from_response(answer)
    return answer
