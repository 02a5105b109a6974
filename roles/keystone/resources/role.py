"""Reconciles roles: attribute description."""

from __future__ import annotations

from typing import Any

from . import _objects

KIND = _objects.Kind(
    "roles",
    "role",
    lambda client, name, attrs: {"name": name, "domain_id": None},
    {"description": ("description", _objects.same)},
)


def observe(context: dict[str, Any], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted roles that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: list[dict[str, Any]]) -> list[str]:
    """Create, update and delete roles."""
    return _objects.apply(KIND, context, changes)
