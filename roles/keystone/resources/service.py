"""Reconciles services of the catalogue: attributes type, description, enabled."""

from __future__ import annotations

from typing import Any

from . import _objects

KIND = _objects.Kind(
    "services",
    "service",
    lambda client, name, attrs: {"name": name},
    {key: (key, _objects.same) for key in ("type", "description", "enabled")},
)


def observe(context: dict[str, Any], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted services that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: list[dict[str, Any]]) -> list[str]:
    """Create, update and delete services."""
    return _objects.apply(KIND, context, changes)
