"""Virtual hosts: attribute ``default_queue_type`` (default quorum); deleting one deletes its queues, so only when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _api
from ._api import MARK, Api

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

QUEUE_TYPE = "quorum"


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted vhosts that exist, and ours that are no longer wanted."""
    with Api(context) as api:
        return items(api.get("vhosts"), wanted)


def items(rows: list[dict[str, Any]], wanted: Sequence[WantedItem]) -> list[Item]:
    """Compare the answer of ``/api/vhosts`` with what is wanted."""
    asked = {item["name"]: item.get("attrs", {}) for item in wanted}
    found: list[Item] = []
    for row in rows:
        actual = {"default_queue_type": _queue_type(row)}
        if row["name"] in asked:
            attrs = asked[row["name"]]
            same = {key: attrs.get(key) == value for key, value in actual.items()}
            found.append({"name": row["name"], "attrs": _api.told(attrs, actual, same), "secret": ""})
        elif MARK in row.get("tags", []) and row["name"] != "/":
            found.append({"name": row["name"], "attrs": actual, "secret": ""})
    return found


def _queue_type(row: dict[str, Any]) -> str:
    kind = row.get("default_queue_type") or row.get("metadata", {}).get("default_queue_type") or ""
    return {"undefined": "", "rabbit_quorum_queue": "quorum", "rabbit_classic_queue": "classic"}.get(kind, kind)


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, change or delete."""
    done = []
    with Api(context) as api:
        for change in changes:
            if change["op"] == "delete":
                api.delete("vhosts", change["name"])
            else:
                api.put("vhosts", change["name"], body=body(change.get("attrs", {})))
            done.append(f"vhost {change['name']}: {change['op']}d")
    return done


def body(attrs: dict[str, Any]) -> dict[str, Any]:
    """Return what the API wants for a vhost."""
    return {"default_queue_type": attrs.get("default_queue_type", QUEUE_TYPE), "tags": MARK}
