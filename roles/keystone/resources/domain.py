"""Reconciles domains: attributes description, enabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _objects
from ._client import Client

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

TAG = "scs-deploy"

KIND = _objects.ObjectKind(
    "domains",
    "domain",
    lambda client, name, attrs: {"name": name},
    {"description": ("description", _objects.same), "enabled": ("enabled", _objects.same)},
    mark=lambda name: {"tags": [TAG]},
    label=lambda client, one: str(one["name"]) if TAG in one.get("tags", ()) else "",
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted domains that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, update and delete domains; Keystone deletes only disabled ones, so a removal disables first."""
    client = Client(context)
    for change in changes:
        if change["op"] == "delete":
            for one in [one for one in client.all("domains") if KIND.label(client, one) == change["name"]]:
                client.request("PATCH", f"/domains/{one['id']}", {"domain": {"enabled": False}})
    return _objects.apply(KIND, context, changes)
