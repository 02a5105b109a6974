"""Reconciles services of the catalogue: attributes type, description, enabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _objects

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

KIND = _objects.ObjectKind(
    "services",
    "service",
    lambda client, name, attrs: {"name": name},
    {key: (key, _objects.same) for key in ("type", "description", "enabled")},
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted services that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, update and delete services."""
    return _objects.apply(KIND, context, changes)
