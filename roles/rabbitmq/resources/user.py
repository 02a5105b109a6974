"""Users: attributes ``vhost`` (default ``/``), ``configure``, ``write``, ``read`` (default ``.*``) and ``tags`` (default none)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _api
from ._api import MARK, Api

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

_RIGHTS = ("configure", "write", "read")


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted users that exist, and ours that are no longer wanted."""
    with Api(context) as api:
        return items(api.get("users"), api.get("permissions"), wanted)


def items(users: list[dict[str, Any]], permissions: list[dict[str, Any]], wanted: Sequence[WantedItem]) -> list[Item]:
    """Compare the answers of ``/api/users`` and ``/api/permissions`` with what is wanted."""
    asked = {item["name"]: item for item in wanted}
    found: list[Item] = []
    for row in users:
        rights = {one["vhost"]: {key: one[key] for key in _RIGHTS} for one in permissions if one["user"] == row["name"]}
        if row["name"] in asked:
            found.append(_compared(asked[row["name"]], row, rights))
        elif MARK in row.get("tags", []):
            found.append({"name": row["name"], "attrs": {"vhost": ", ".join(sorted(rights))}, "secret": ""})
    return found


def _compared(item: WantedItem, row: dict[str, Any], rights: dict[str, dict[str, str]]) -> Item:
    attrs = item.get("attrs", {})
    vhost = attrs.get("vhost", "/")
    wanted = {"vhost": [vhost], "tags": _api.tags(attrs.get("tags")), **_rights(attrs)}
    held = rights.get(vhost, dict.fromkeys(_RIGHTS, ""))
    actual = {"vhost": sorted(rights), "tags": _api.tags(row.get("tags")), **held}
    same = {key: actual[key] == wanted[key] for key in wanted}
    untold = [key for key in wanted if key not in attrs and not same[key] and (vhost in rights or key not in _RIGHTS)]
    accepted = matches(row, item.get("secret", ""))
    return {
        "name": item["name"],
        "attrs": _api.told(attrs, actual, same),
        "differences": [_api.difference(key, actual[key], wanted[key]) for key in untold],
        "secret": item.get("digest", "") if accepted else "differs",
    }


def matches(row: dict[str, Any], password: str) -> bool:
    """Whether the server's salted hash is that of the password (https://www.rabbitmq.com/docs/passwords)."""
    if row.get("hashing_algorithm") != "rabbit_password_hashing_sha256" or not password:
        return False
    stored = base64.b64decode(row.get("password_hash") or "")
    return stored[4:] == hashlib.sha256(stored[:4] + password.encode()).digest()


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, change or delete."""
    done = []
    with Api(context) as api:
        for change in changes:
            _one(api, change)
            done.append(f"user {change['name']}: {change['op']}d")
    return done


def _one(api: Api, change: ItemChange) -> None:
    name, attrs = change["name"], change.get("attrs", {})
    if change["op"] == "delete":
        api.delete("users", name)
        return
    if not change.get("secret"):
        raise ValueError(f"user {name} has no secret: it could not log in")
    vhost = attrs.get("vhost", "/")
    api.put("users", name, body={"password": change["secret"], "tags": ",".join([MARK, *_api.tags(attrs.get("tags"))])})
    api.put("permissions", vhost, name, body=_rights(attrs))
    for one in api.get("users", name, "permissions"):
        if one["vhost"] != vhost:
            api.delete("permissions", one["vhost"], name)


def _rights(attrs: dict[str, Any]) -> dict[str, str]:
    return {key: attrs.get(key, ".*") for key in _RIGHTS}
