"""Reconciles what users may do where: attributes user, role and one of project, domain, system (``all``); user_domain and
project_domain where they are not ``default``.

Assignments carry no marks. Those of users that we made are ours; one of them that nobody wants is offered for removal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._client import Client, look
from ._objects import MARK, own_name

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

Assignment = tuple[str, str, str, str]
"""IDs of user and role, kind of the scope, ID of the scope."""


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted assignments that exist, and others of users that we made."""
    client = look(context)
    existing = _existing(client)
    items: list[Item] = []
    known = set()
    for item in wanted:
        try:
            assignment = _resolve(client, item["attrs"])
        except LookupError:
            continue
        known.add(assignment)
        if assignment in existing:
            items.append({"name": item["name"], "attrs": item["attrs"], "secret": ""})
    ours = {user["id"] for user in client.all("users") if user.get(MARK)}
    extra = [one for one in existing if one[0] in ours and one not in known]
    for one in sorted(extra):
        items.append({"name": _label(client, one), "attrs": {}, "secret": ""})
    return items


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Grant and revoke; granting twice is fine for Keystone."""
    client, done = Client(context), []
    for change in changes:
        if change["op"] != "delete":
            client.request("PUT", _path(*_resolve(client, change["attrs"])))
            done.append(f"granted {change['name']}")
            continue
        attrs = change.get("attrs") or {}
        doomed = [_resolve(client, attrs)] if attrs else []
        doomed = doomed or [one for one in _existing(client) if _label(client, one) == change["name"]]
        for assignment in doomed:
            client.request("DELETE", _path(*assignment))
            done.append(f"revoked {change['name']}")
    return done


def _resolve(client: Client, attrs: dict[str, Any]) -> Assignment:
    """Raises ``LookupError`` while one of the names does not exist."""
    domain = client.domain_id(attrs.get("user_domain", "default"))
    user = client.id_of("users", own_name(attrs["user"]), domain_id=domain)
    role = client.id_of("roles", attrs["role"])
    if "system" in attrs:
        return user, role, "system", "all"
    if "domain" in attrs:
        return user, role, "domains", client.domain_id(attrs["domain"])
    domain = client.domain_id(attrs.get("project_domain", "default"))
    return user, role, "projects", client.id_of("projects", own_name(attrs["project"]), domain_id=domain)


def _existing(client: Client) -> set[Assignment]:
    found = set()
    for one in client.all("role_assignments"):
        scope = one["scope"]
        if "user" not in one or "OS-INHERIT:inherited_to" in scope:
            continue
        if "system" in scope:
            found.add((one["user"]["id"], one["role"]["id"], "system", "all"))
        else:
            kind = "project" if "project" in scope else "domain"
            found.add((one["user"]["id"], one["role"]["id"], f"{kind}s", scope[kind]["id"]))
    return found


def _path(user: str, role: str, kind: str, scope: str) -> str:
    return f"/system/users/{user}/roles/{role}" if kind == "system" else f"/{kind}/{scope}/users/{user}/roles/{role}"


def _label(client: Client, assignment: Assignment) -> str:
    user, role, kind, scope = assignment
    names = {one["id"]: one["name"] for one in [*client.all("users"), *client.all("roles")]}
    where = "all" if kind == "system" else next((one["name"] for one in client.all(kind) if one["id"] == scope), scope)
    return f"{names.get(user, user)} {names.get(role, role)} {where}"
