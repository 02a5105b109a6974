"""Reconciles projects: attributes domain (default: default), description, enabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _objects

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

KIND = _objects.ObjectKind(
    "projects",
    "project",
    lambda client, name, attrs: {
        "name": _objects.own_name(name),
        "domain_id": client.domain_id(attrs.get("domain", "default")),
    },
    {"description": ("description", _objects.same), "enabled": ("enabled", _objects.same)},
    identifying=("domain",),
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted projects that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, update and delete projects."""
    return _objects.apply(KIND, context, changes)
