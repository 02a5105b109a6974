"""Volume types (scs-0114), and the quotas of projects that have none of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scs_deploy.cloud.plan import Attrs, ContentChange, ContentInputs, ContentItem, ContentKind
from scs_deploy.cloud.spec import VolumeTypeSection

LUKS = {"provider": "luks", "cipher": "aes-xts-plain64", "key_size": 256, "control_location": "front-end"}


class VolumeTypes(ContentKind):
    title = "volume type"
    api = ("block-storage",)

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        types = world.spec.volume_types
        return [_item(one) for one in (default_types(world) if types is None else types)]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        found: dict[str, Attrs] = {}
        names = {item.name for item in wanted}
        for one in api.block_storage.types(is_public="None"):
            if one.name in names:
                attrs = {"id": one.id, "description": one.description or "", "public": one.is_public}
                found[one.name] = attrs | _encryption(api, one.id) | dict(one.extra_specs or {})
        return found

    def create(self, api: Any, item: ContentItem) -> None:
        attrs = item.attrs
        made = api.block_storage.create_type(
            name=item.name, description=attrs["description"], is_public=attrs["public"], extra_specs=_specs(attrs)
        )
        if attrs["provider"]:
            api.block_storage.create_type_encryption(made, **{key: attrs[key] for key in LUKS})

    def update(self, api: Any, change: ContentChange) -> None:
        kind, attrs = change.current["id"], change.item.attrs
        differing = {one.what for one in change.differences}
        if differing & {"description", "public"}:
            api.block_storage.update_type(kind, description=attrs["description"], is_public=attrs["public"])
        specs = {key: value for key, value in _specs(attrs).items() if key in differing}
        if specs:
            api.block_storage.update_type_extra_specs(kind, **specs)
        if differing & LUKS.keys():
            if change.current.get("provider"):
                api.block_storage.delete_type_encryption(volume_type=kind)
            if attrs["provider"]:
                api.block_storage.create_type_encryption(kind, **{key: attrs[key] for key in LUKS})


class VolumeQuotas(ContentKind):
    title = "default quotas of volumes"
    api = ("block-storage",)

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        quotas: dict[str, Any] = {str(key): value for key, value in world.spec.quotas.volume.items()}
        return [ContentItem("volume", quotas)] if quotas else []

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {"volume": api.block_storage.get_quota_class_set("default").to_dict()} if wanted else {}

    def create(self, api: Any, item: ContentItem) -> None:
        raise NotImplementedError("default quotas are always there")

    def update(self, api: Any, change: ContentChange) -> None:
        api.block_storage.update_quota_class_set("default", **{one.what: one.wanted for one in change.differences})


def default_types(world: ContentInputs) -> list[VolumeTypeSection]:
    """A standard type, and an encrypted one where keys have a home. One storage node alone replicates nothing."""
    storage = [node for node in world.region.nodes if "storage" in node.groups and node.state != "absent"]
    replicated = len(storage) > 1
    found = [VolumeTypeSection(name="standard", description="The usual type", replicated=replicated)]
    if "key-manager" in world.types:
        text = "LUKS, with a key of its own for each volume"
        found.append(VolumeTypeSection(name="luks", description=text, replicated=replicated, encrypted=True))
    return found


def tag(replicated: bool, encrypted: bool) -> str:
    """``[scs:encrypted, replicated]``; "" for a type without aspects."""
    aspects = [name for name, on in (("encrypted", encrypted), ("replicated", replicated)) if on]
    return f"[scs:{', '.join(aspects)}]" if aspects else ""


def _item(one: VolumeTypeSection) -> ContentItem:
    description = f"{tag(one.replicated, one.encrypted)} {one.description}".strip()
    attrs: dict[str, Any] = {"description": description, "public": one.public}
    attrs |= LUKS if one.encrypted else dict.fromkeys(LUKS)
    return ContentItem(one.name, attrs | dict(one.extra_specs))


def _specs(attrs: Attrs) -> dict[str, Any]:
    return {key: value for key, value in attrs.items() if key not in {"description", "public", *LUKS}}


def _encryption(api: Any, kind: str) -> dict[str, Any]:
    answer = api.block_storage.get(f"/types/{kind}/encryption")
    answer.raise_for_status()
    found = answer.json() or {}
    return {key: found.get(key) for key in LUKS}
