"""Users of the cluster: attribute ``caps`` (mapping of daemon type to capabilities); the secret is the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _cluster
from ._cluster import Command

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

PROTECTED = ("mon.", "osd.")


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted users that exist, and ours that are no longer wanted."""
    seen = _cluster.look(context)
    return items(seen["keys"], seen["marks"], wanted)


def items(rows: list[dict[str, Any]], marks: set[str], wanted: Sequence[WantedItem]) -> list[Item]:
    """Compare the answer of ``auth ls`` with what is wanted."""
    asked = {item["name"]: item for item in wanted}
    found: list[Item] = []
    for row in rows:
        name, caps = row["entity"], {"caps": row["caps"]}
        if item := asked.get(name):
            attrs = item.get("attrs", {})
            unasked = "caps" not in attrs and row["caps"]
            held = ", ".join(f"{daemon} {text}" for daemon, text in sorted(row["caps"].items()))
            found.append(
                {
                    "name": name,
                    "attrs": _cluster.told(attrs, caps),
                    "differences": [_cluster.difference("caps", held, "none")] if unasked else [],
                    "secret": item.get("digest", "") if row["key"] == item.get("secret") else "differs",
                }
            )
        elif f"key/{name}" in marks:
            found.append({"name": name, "attrs": caps, "secret": ""})
    return found


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, change or remove users."""
    _cluster.run_groups(context, [commands(change) for change in changes])
    past = {"create": "created", "update": "updated", "delete": "removed"}
    return [f"key {change['name']}: {past[change['op']]}" for change in changes]


def commands(change: ItemChange) -> list[tuple[Command, str]]:
    """Return the monitor commands of one change; running them twice does no harm.

    Raises ``ValueError`` for a user of the cluster itself, and for one without a key.
    """
    name = change["name"]
    if name.startswith(PROTECTED):
        raise ValueError(f"{name} is a user of the cluster itself")
    if change["op"] == "delete":
        return [({"prefix": "auth rm", "entity": name}, ""), _cluster.unmark("key", name)]
    if not change.get("secret"):
        raise ValueError(f"user {name} has no key")
    return [({"prefix": "auth import"}, keyring(name, change["secret"], change["attrs"])), _cluster.mark("key", name)]


def keyring(name: str, key: str, attrs: dict[str, Any]) -> str:
    """Return a user with its capabilities as the monitors import it."""
    caps = (f'caps {daemon} = "{text}"\n' for daemon, text in sorted(attrs.get("caps", {}).items()))
    return f"[{name}]\nkey = {key}\n{''.join(caps)}"
