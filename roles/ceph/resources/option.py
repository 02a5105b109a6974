"""Options in the cluster's own configuration: name ``<who> <option>``, such as ``global osd_pool_default_size``; attribute ``value``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _cluster
from ._cluster import Command

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted options that are set, and ours that are no longer wanted."""
    seen = _cluster.look(context)
    return items(seen["options"], seen["marks"], wanted)


def items(rows: list[dict[str, Any]], marks: set[str], wanted: Sequence[WantedItem]) -> list[Item]:
    """Compare the answer of ``config dump`` with what is wanted."""
    asked = {item["name"] for item in wanted}
    found: list[Item] = []
    for row in rows:
        who = row["section"] + (f"/{row['mask']}" if row.get("mask") else "")
        name = f"{who} {row['name']}"
        if name in asked or f"option/{name}" in marks:
            found.append({"name": name, "attrs": {"value": row["value"]}, "secret": ""})
    return found


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Set or remove options."""
    _cluster.run_groups(context, [commands(change) for change in changes])
    return [f"option {change['name']}: {'removed' if change['op'] == 'delete' else 'set'}" for change in changes]


def commands(change: ItemChange) -> list[tuple[Command, str]]:
    """Return the monitor commands of one change; ``force`` because a module's options are known only when it has run."""
    who, _, option = change["name"].partition(" ")
    base = {"who": who, "name": option}
    if change["op"] == "delete":
        return [({"prefix": "config rm", **base}, ""), _cluster.unmark("option", change["name"])]
    value = str(change["attrs"]["value"])
    return [
        ({"prefix": "config set", **base, "value": value, "force": True}, ""),
        _cluster.mark("option", change["name"]),
    ]
