"""Roles, and which role implies which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scs_deploy.cloud.plan import Attrs, ContentInputs, ContentItem, ContentKind

STANDARD = ("admin", "manager", "member", "reader", "service")
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"))


class Roles(ContentKind):
    title = "role"
    api = ("identity",)

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        return [ContentItem(name, {}) for name in dict.fromkeys((*STANDARD, *world.spec.roles))]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        return {role.name: {"id": role.id} for role in api.identity.roles() if not role.domain_id}

    def create(self, api: Any, item: ContentItem) -> None:
        api.identity.create_role(name=item.name)


class ImpliedRoles(ContentKind):
    title = "implied role"
    api = ("identity",)

    def wanted(self, world: ContentInputs) -> Sequence[ContentItem]:
        return [ContentItem(f"{prior} implies {implied}", {}, {"pair": (prior, implied)}) for prior, implied in IMPLIED]

    def current(self, api: Any, wanted: Sequence[ContentItem]) -> Mapping[str, Attrs]:
        answer = api.identity.get("/role_inferences")
        answer.raise_for_status()
        return {
            f"{one['prior_role']['name']} implies {implied['name']}": {}
            for one in answer.json()["role_inferences"]
            for implied in one["implies"]
        }

    def create(self, api: Any, item: ContentItem) -> None:
        prior, implied = (api.identity.find_role(name, ignore_missing=False).id for name in item.once["pair"])
        api.identity.put(f"/roles/{prior}/implies/{implied}").raise_for_status()
