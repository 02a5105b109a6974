"""Reconciles endpoints of the catalogue: attributes service (its name), interface, region, url, enabled.

Endpoints carry no marks: those of services and regions that we made are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _objects
from ._client import Client, look

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem


def _label(client: Client, one: Mapping[str, Any]) -> str:
    for service in client.all("services"):
        if service["id"] == one["service_id"] and service.get(_objects.MARK):
            return f"{service['name']} {one['interface']} {one['region_id']}"
    return ""


KIND = _objects.ObjectKind(
    "endpoints",
    "endpoint",
    lambda client, name, attrs: {
        "service_id": client.id_of("services", attrs["service"]),
        "interface": attrs["interface"],
        "region_id": attrs["region"],
    },
    {"url": ("url", _objects.same), "enabled": ("enabled", _objects.same)},
    identifying=("service", "interface", "region"),
    mark=lambda name: {},
    label=_label,
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted endpoints that exist and ours that nobody wants, in regions that are wanted or were."""
    marked = {one["id"] for one in look(context).all("regions") if one.get(_objects.MARK)}
    regions = marked | {item["attrs"]["region"] for item in wanted}
    names = {item["name"] for item in wanted}
    items = _objects.observe(KIND, context, wanted)
    return [item for item in items if item["name"] in names or item["name"].rpartition(" ")[2] in regions]


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, update and delete endpoints."""
    return _objects.apply(KIND, context, changes)
