"""Flavors, and the quotas of projects that have none of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scs_deploy.cloud import flavors
from scs_deploy.cloud.plan import Attrs, ContentChange, ContentInputs, ContentItem, ContentKind

NUMBERS = ("vcpus", "ram", "disk", "public")


class Flavors(ContentKind):
    title = "flavor"
    api = ("compute",)
    fixed = frozenset(NUMBERS)
    # Servers keep a copy of the flavor they were made with, so they do not notice.
    replaceable = True

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        spec = world.spec.flavors
        found = list(flavors.standard(spec.recommended)) if spec.mandatory else []
        found += [
            flavors.Flavor(one.name, one.vcpus, one.ram, one.disk, one.public, dict(one.extra_specs))
            for one in spec.more
        ]
        return [ContentItem(name, attrs) for name, attrs in {one.name: flavors.attrs(one) for one in found}.items()]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {
            one.name: {
                "id": one.id,
                "vcpus": one.vcpus,
                "ram": one.ram,
                "disk": one.disk,
                "public": one.is_public,
                **(one.extra_specs or {}),
            }
            for one in api.compute.flavors(is_public=None)
        }

    def create(self, api: Any, item: ContentItem) -> None:
        numbers = {name: item.attrs[name] for name in ("vcpus", "ram", "disk")}
        made = api.compute.create_flavor(name=item.name, is_public=item.attrs["public"], **numbers)
        specs = {key: value for key, value in item.attrs.items() if key not in NUMBERS and value is not None}
        if specs:
            api.compute.create_flavor_extra_specs(made, specs)

    def update(self, api: Any, change: ContentChange) -> None:
        flavor = change.current["id"]
        for one in change.differences:
            if one.wanted is None:
                api.compute.delete_flavor_extra_specs_property(flavor, one.what)
            else:
                api.compute.update_flavor_extra_specs_property(flavor, one.what, one.wanted)

    def replace(self, api: Any, change: ContentChange) -> None:
        api.compute.delete_flavor(change.current["id"])
        self.create(api, change.item)


class ComputeQuotas(ContentKind):
    title = "default quotas of servers"
    api = ("compute",)

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        quotas: dict[str, Any] = {str(key): value for key, value in world.spec.quotas.compute.items()}
        return [ContentItem("compute", quotas)] if quotas else []

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {"compute": api.compute.get_quota_class_set("default").to_dict()} if wanted else {}

    def create(self, api: Any, item: ContentItem) -> None:
        raise NotImplementedError("default quotas are always there")

    def update(self, api: Any, change: ContentChange) -> None:
        api.compute.update_quota_class_set("default", **{one.what: one.wanted for one in change.differences})
