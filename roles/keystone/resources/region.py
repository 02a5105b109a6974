"""Reconciles regions of the catalogue: attribute description; the item's name is the region's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _objects, endpoint
from ._client import Client

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

KIND = _objects.ObjectKind(
    "regions",
    "region",
    lambda client, name, attrs: {"id": name},
    {"description": ("description", _objects.same)},
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted regions that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, update and delete regions, the latter with their endpoints of services that we made: Keystone deletes empty ones only."""
    client = Client(context)
    gone = {change["name"] for change in changes if change["op"] == "delete"}
    for one in client.all("endpoints") if gone else ():
        if one["region_id"] in gone and endpoint.KIND.label(client, one):
            client.request("DELETE", f"/endpoints/{one['id']}")
    return _objects.apply(KIND, context, changes)
