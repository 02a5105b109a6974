"""Reconciles users: attributes domain (default: default), description, email, enabled, default_project; the secret is the password.

Whether a password is right is asked by a login, or by a token of an earlier one that Keystone still takes, so a password that somebody
changed is found. Keystone refuses every login of a disabled user, or one of a disabled domain: its password cannot be tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import _objects
from ._client import Client, look

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import Item, ItemChange, WantedItem

LOGINS = 4
"""Logins at a time: Keystone hashes each password for about 0.35 s of CPU (bcrypt, 12 rounds)."""

KIND = _objects.ObjectKind(
    "users",
    "user",
    lambda client, name, attrs: {
        "name": _objects.own_name(name),
        "domain_id": client.domain_id(attrs.get("domain", "default")),
    },
    {
        "description": ("description", _objects.same),
        "email": ("email", _objects.same),
        "enabled": ("enabled", _objects.same),
        "default_project": ("default_project_id", lambda client, name: client.id_of("projects", name)),
    },
    identifying=("domain",),
    # Neither a service whose old process still tries the old password nor a stranger may lock it out.
    extra={"enabled": True},
    options=("ignore_lockout_failure_attempts", "ignore_password_expiry"),
)


def observe(context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return the wanted users that exist and ours that nobody wants."""
    items = _objects.observe(KIND, context, wanted)
    secrets = {item["name"]: item for item in wanted if item.get("secret")}
    client = look(context)
    checked = [item for item in items if item["name"] in secrets]
    disabled = {one["id"] for one in [*client.all("domains"), *client.all("users")] if one.get("enabled") is False}

    def check(item: Item) -> str:
        asked = secrets[item["name"]]
        user = _objects.find(KIND, client, asked) or {}
        if {user.get("id"), user.get("domain_id")} & disabled:
            return "unknown"
        domain = client.domain_id(asked["attrs"].get("domain", "default"))
        accepted = client.accepts(_objects.own_name(item["name"]), domain, asked["secret"])
        return str(asked["digest"]) if accepted else "differs"

    with ThreadPoolExecutor(LOGINS) as pool:
        for item, answer in zip(checked, pool.map(check, checked), strict=True):
            item["secret"] = answer
    return items


def apply(context: dict[str, Any], changes: Sequence[ItemChange]) -> list[str]:
    """Create, update and delete users; a password that is right is left alone, since one that is set anew ends all tokens."""
    client = Client(context)
    needed: list[ItemChange] = [{**change, "secret": ""} if _is_right(client, change) else change for change in changes]
    return _objects.apply(KIND, context, needed, secret_field="password")  # noqa: S106 - the field's name


def _is_right(client: Client, change: ItemChange) -> bool:
    if change["op"] == "delete" or not change.get("secret") or not _objects.find(KIND, client, change):
        return False
    domain = client.domain_id(change["attrs"].get("domain", "default"))
    return client.accepts(_objects.own_name(change["name"]), domain, change["secret"])
