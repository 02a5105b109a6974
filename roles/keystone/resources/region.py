"""Reconciles regions of the catalogue: attribute description; the item's name is the region's."""

from __future__ import annotations

from typing import Any

from . import _objects

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
    """Create, update and delete regions; Keystone deletes none that has endpoints."""
    return _objects.apply(KIND, context, changes)
