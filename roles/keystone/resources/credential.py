"""Reconciles EC2 credentials, with which users sign S3 requests: the name is the access key, the secret signs; attributes user, project.

Those that we made say so in their content.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._client import Client, look
from ._objects import MARK

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

Found = tuple[dict[str, Any], dict[str, Any]]
"""A credential and its content."""


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted credentials that exist and ours that nobody wants."""
    client = look(context)
    found = _found(client)
    items: list[Item] = []
    asked = {item["name"]: item for item in wanted}
    for name, (one, content) in found.items():
        if name in asked:
            item = asked[name]
            accepted = bool(item.get("secret")) and content.get("secret") == item["secret"]
            shown = item["attrs"] if _owner(one) == _wanted_owner(client, item["attrs"]) else _named_owner(client, one)
            items.append({"name": name, "attrs": shown, "secret": item.get("digest", "") if accepted else "differs"})
        elif content.get(MARK):
            items.append({"name": name, "attrs": {}, "secret": ""})
    return items


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create and delete; one that differs is made anew, since Keystone lets nobody change whose it is."""
    client, done = Client(context), []
    found = _found(client)
    for change in changes:
        name = change["name"]
        if name in found:
            client.request("DELETE", f"/credentials/{found[name][0]['id']}")
        if change["op"] != "delete":
            owner = _wanted_owner(client, change["attrs"])
            if owner is None:
                raise LookupError(f"credential {name}: its user or project does not exist")
            content = json.dumps({"access": name, "secret": change["secret"], MARK: True})
            body = {"type": "ec2", "user_id": owner[0], "project_id": owner[1], "blob": content}
            client.request("POST", "/credentials", {"credential": body})
        done.append(f"{change['op']}d credential {name}")
    return done


def _found(client: Client) -> dict[str, Found]:
    found = {}
    for one in client.all("credentials"):
        if one["type"] == "ec2":
            content = json.loads(one["blob"])
            found[str(content.get("access"))] = (one, content)
    return found


def _owner(one: dict[str, Any]) -> tuple[str, str]:
    return one["user_id"], one["project_id"]


def _named_owner(client: Client, one: dict[str, Any]) -> dict[str, str]:
    """Return whose it is as attributes, by ID where the default domain has no such user or project."""

    def name(collection: str, key: str) -> str:
        known = {found["id"]: found["name"] for found in client.all(collection) if found["domain_id"] == "default"}
        return str(known.get(key, key))

    user, project = _owner(one)
    return {"user": name("users", user), "project": name("projects", project)}


def _wanted_owner(client: Client, attrs: dict[str, Any]) -> tuple[str, str] | None:
    try:
        return (
            client.id_of("users", attrs["user"], domain_id="default"),
            client.id_of("projects", attrs["project"], domain_id="default"),
        )
    except LookupError:
        return None
