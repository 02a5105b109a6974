"""Reconciles regions of the catalogue: attribute description; the item's name is the region's."""

from __future__ import annotations

from typing import Any

from . import _objects, endpoint
from ._client import Client

KIND = _objects.Kind(
    "regions",
    "region",
    lambda client, name, attrs: {"id": name},
    {"description": ("description", _objects.same)},
)


def observe(context: dict[str, Any], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted regions that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: list[dict[str, Any]]) -> list[str]:
    """Create, update and delete regions, the latter with their endpoints of services that we made: Keystone deletes empty ones only."""
    client = Client(context)
    gone = {change["name"] for change in changes if change["op"] == "delete"}
    for one in client.all("endpoints") if gone else ():
        if one["region_id"] in gone and endpoint.KIND.label(client, one):
            client.request("DELETE", f"/endpoints/{one['id']}")
    return _objects.apply(KIND, context, changes)
