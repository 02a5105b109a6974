"""Reconciles domains: attributes description, enabled."""

from __future__ import annotations

from typing import Any

from . import _objects
from ._client import Client

TAG = "scs-deploy"

KIND = _objects.Kind(
    "domains",
    "domain",
    lambda client, name, attrs: {"name": name},
    {"description": ("description", _objects.same), "enabled": ("enabled", _objects.same)},
    mark=lambda name: {"tags": [TAG]},
    label=lambda client, one: str(one["name"]) if TAG in one.get("tags", ()) else "",
)


def observe(context: dict[str, Any], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted domains that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: list[dict[str, Any]]) -> list[str]:
    """Create, update and delete domains; Keystone deletes only disabled ones, so a removal disables first."""
    client = Client(context)
    for change in changes:
        if change["op"] == "delete":
            for one in [one for one in client.all("domains") if KIND.label(client, one) == change["name"]]:
                client.request("PATCH", f"/domains/{one['id']}", {"domain": {"enabled": False}})
    return _objects.apply(KIND, context, changes)
