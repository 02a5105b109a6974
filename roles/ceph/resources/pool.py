"""Pools: attributes ``application`` (rbd), ``size``, ``min_size``, ``rule`` and ``pg_num``; what is left out follows the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _cluster
from ._cluster import Command

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

LOST = "deleted by somebody, with its data"
BUCKETS = {"node": "host", "rack": "rack", "fire_zone": "room"}


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted pools that exist, and ours that are no longer wanted."""
    seen = _cluster.look(context)
    return items(context, seen["pools"], seen["rules"], seen["marks"], wanted)


def items(
    context: dict[str, Any],
    rows: list[dict[str, Any]],
    rules: list[dict[str, Any]],
    marks: set[str],
    wanted: Sequence[WantedItem],
) -> list[Item]:
    """Compare the answer of ``osd pool ls detail`` with what is wanted.

    Another value of a default that the item does not name is a difference too, but of ``pg_num``: Ceph scales it.
    """
    asked = {item["name"]: item.get("attrs", {}) for item in wanted}
    names = {rule["rule_id"]: rule["rule_name"] for rule in rules}
    found = _lost(rows, marks, asked)
    for row in rows:
        name = row["pool_name"]
        actual = {
            "application": " ".join(sorted(row.get("application_metadata", {}))),
            "size": row["size"],
            "min_size": row["min_size"],
            "rule": names.get(row["crush_rule"], ""),
            "pg_num": row.get("pg_num_target", row["pg_num"]),
        }
        if name in asked:
            full = defaults(context, asked[name])
            differences = [
                _cluster.difference(key, actual[key], full[key])
                for key in ("application", "size", "min_size", "rule")
                if key not in asked[name] and actual[key] != full[key]
            ]
            attrs = _cluster.told(asked[name], actual)
            found.append({"name": name, "attrs": attrs, "differences": differences, "secret": ""})
        elif f"pool/{name}" in marks:
            found.append({"name": name, "attrs": actual, "secret": ""})
    return found


def _lost(rows: list[dict[str, Any]], marks: set[str], asked: dict[str, dict[str, Any]]) -> list[Item]:
    """Wanted pools that we made and somebody deleted: told as changed, since a new one does not bring back what they held."""
    there = {row["pool_name"] for row in rows}
    lost = [name for name in asked if name not in there and f"pool/{name}" in marks]
    gone = _cluster.difference("pool", LOST, "kept")
    # Of a pool that is not there, no attribute is another one.
    return [{"name": name, "attrs": asked[name], "differences": [gone], "secret": ""} for name in lost]


def defaults(context: dict[str, Any], attrs: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes with what follows from region and settings; values of strings become numbers."""
    size = int(attrs.get("size") or context["size"])
    return {
        "application": attrs.get("application", "rbd"),
        "size": size,
        "min_size": int(attrs.get("min_size") or size - size // 2),
        "rule": attrs.get("rule", f"scs-{context['failure_domain']}"),
        "pg_num": int(attrs.get("pg_num") or context["pg_num"]),
    }


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, change or delete; deleting takes the data along, so it is only asked for with --purge."""
    there = {row["pool_name"]: list(row.get("application_metadata", ())) for row in _cluster.look(context)["pools"]}
    # Deleting is allowed by an option of all monitors, so two of them must not run side by side.
    for change in changes:
        if change["op"] == "delete":
            _delete(context, change["name"], change["name"] in there)
    wanted = [change for change in changes if change["op"] != "delete"]
    if wanted:
        _cluster.run_groups(context, [commands(context, change, there.get(change["name"])) for change in wanted])
    past = {"create": "created", "update": "updated", "delete": "deleted with its data"}
    return [f"pool {change['name']}: {past[change['op']]}" for change in changes]


def commands(context: dict[str, Any], change: ItemChange, applications: list[str] | None) -> list[tuple[Command, str]]:
    """Return the monitor commands that create or change a pool; running them twice does no harm.

    ``applications`` are those that it has now; None: there is no such pool.
    """
    there = applications is not None
    name = change["name"]
    wanted = defaults(context, change.get("attrs", {}))
    rule = {
        "prefix": "osd crush rule create-replicated",
        "name": wanted["rule"],
        "root": "default",
        "type": BUCKETS[context["failure_domain"]],
    }
    found: list[tuple[Command, str]] = [(rule, "")]
    sure = {"yes_i_really_mean_it": True} if wanted["size"] == 1 else {}
    if there:
        found += [
            (_set(name, "crush_rule", wanted["rule"]), ""),
            ({**_set(name, "size", wanted["size"]), **sure}, ""),
        ]
    else:
        found.append((_create(name, wanted), ""))
    if there or wanted["min_size"] != wanted["size"] - wanted["size"] // 2:  # which a new pool has by itself
        found.append((_set(name, "min_size", wanted["min_size"]), ""))
    if there and wanted["pg_num"]:
        found.append((_set(name, "pg_num", wanted["pg_num"]), ""))
    enable = {"prefix": "osd pool application enable", "pool": name, "app": wanted["application"]}
    found.append(({**enable, "yes_i_really_mean_it": True}, ""))
    for other in sorted({*(applications or ())} - {wanted["application"]}):
        disable = {"prefix": "osd pool application disable", "pool": name, "app": other}
        found.append(({**disable, "yes_i_really_mean_it": True}, ""))
    return [*found, _cluster.mark("pool", name)]


def _create(name: str, wanted: dict[str, Any]) -> Command:
    automatic = not wanted["pg_num"]
    return {
        "prefix": "osd pool create",
        "pool": name,
        "pool_type": "replicated",
        "rule": wanted["rule"],
        "size": wanted["size"],
        "pg_num": wanted["pg_num"] or 8,
        "yes_i_really_mean_it": True,  # its name may begin with a dot
        "autoscale_mode": "on" if automatic else "off",
        **({"pg_num_min": 8} if automatic else {}),
    }


def _set(name: str, variable: str, value: object) -> dict[str, Any]:
    return {"prefix": "osd pool set", "pool": name, "var": variable, "val": str(value)}


def _delete(context: dict[str, Any], name: str, there: bool) -> None:
    """Delete a pool; that it may be deleted is said for this moment only, whatever becomes of it.

    Raises ``RuntimeError`` when the pool was not deleted, or when pools of the cluster may still be.
    """
    option = {"who": "mon", "name": "mon_allow_pool_delete"}
    delete = {"prefix": "osd pool delete", "pool": name, "pool2": name, "yes_i_really_really_mean_it": True}
    if there:
        try:
            _cluster.run(context, ({"prefix": "config set", **option, "value": "true"}, ""), (delete, ""))
        finally:
            _forbid(context, {"prefix": "config rm", **option})
    _cluster.run(context, _cluster.unmark("pool", name))


def _forbid(context: dict[str, Any], command: Command) -> None:
    try:
        _cluster.run(context, (command, ""))
    except Exception as error:
        before = f"; before that: {error.__context__}" if error.__context__ else ""
        raise RuntimeError(
            f"pools may be deleted by anybody until `ceph config rm mon mon_allow_pool_delete` is done: {error}{before}"
        ) from error
