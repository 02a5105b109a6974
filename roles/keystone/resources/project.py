"""Reconciles projects: attributes domain (default: default), description, enabled."""

from __future__ import annotations

from typing import Any

from . import _objects

KIND = _objects.Kind(
    "projects",
    "project",
    lambda client, name, attrs: {
        "name": _objects.own_name(name),
        "domain_id": client.domain_id(attrs.get("domain", "default")),
    },
    {"description": ("description", _objects.same), "enabled": ("enabled", _objects.same)},
    identifying=("domain",),
)


def observe(context: dict[str, Any], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted projects that exist and ours that nobody wants."""
    return _objects.observe(KIND, context, wanted)


def apply(context: dict[str, Any], changes: list[dict[str, Any]]) -> list[str]:
    """Create, update and delete projects."""
    return _objects.apply(KIND, context, changes)
