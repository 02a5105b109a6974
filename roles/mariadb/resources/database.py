"""Databases: attributes ``charset`` and ``collation``; nothing is dropped unless asked for by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _server
from ._server import MARK, SYSTEM, name, text

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

CHARSET, COLLATION = "utf8mb4", "utf8mb4_uca1400_ai_ci"
"""The defaults; the collation is that of MariaDB 11.8 itself."""

_LIST = (
    "SELECT schema_name AS name, default_character_set_name AS charset, default_collation_name AS collation, "
    "schema_comment AS comment FROM information_schema.schemata"
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted databases that exist, and ours that are no longer wanted."""
    return items(_server.query(context, _LIST), wanted)


def items(rows: list[dict[str, Any]], wanted: Sequence[WantedItem]) -> list[Item]:
    """Compare the rows of ``information_schema.schemata`` with what is wanted."""
    asked = {item["name"]: item.get("attrs", {}) for item in wanted}
    found: list[Item] = []
    for row in rows:
        actual = {"charset": row["charset"], "collation": row["collation"]}
        if row["name"] in asked:
            attrs = asked[row["name"]]
            same = {key: attrs.get(key) == value for key, value in actual.items()}
            found.append({"name": row["name"], "attrs": _server.told(attrs, actual, same), "secret": ""})
        elif row["comment"] == MARK and row["name"] not in SYSTEM:
            found.append({"name": row["name"], "attrs": actual, "secret": ""})
    return found


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, alter or drop."""
    _server.execute(context, [statement for change in changes for statement in statements(change)])
    return [
        f"database {change['name']}: {change['op']}d"
        if change["op"] != "delete"
        else f"database {change['name']}: dropped"
        for change in changes
    ]


def statements(change: ItemChange) -> list[str]:
    """Return the SQL of one change; running it twice does no harm.

    Raises ``ValueError`` for a system database.
    """
    database, attrs = change["name"], change.get("attrs", {})
    if database.lower() in SYSTEM:
        raise ValueError(f"{database} is a database of the server itself")
    if change["op"] == "delete":
        return [f"DROP DATABASE IF EXISTS {name(database)}"]
    charset = attrs.get("charset", CHARSET)
    collation = attrs.get("collation", COLLATION if charset == CHARSET else "")
    options = (
        f"CHARACTER SET {text(charset)}"
        + (f" COLLATE {text(collation)}" if collation else "")
        + f" COMMENT {text(MARK)}"
    )
    return [f"CREATE DATABASE IF NOT EXISTS {name(database)} {options}", f"ALTER DATABASE {name(database)} {options}"]
