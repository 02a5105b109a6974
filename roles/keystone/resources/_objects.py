"""What the kinds with an own object in Keystone share: find by identity, compare, create, update, delete.

An object that we create carries its item's name in the extra attribute ``scs_deploy`` ; so one that is no longer wanted is found,
and one that somebody else made is never offered for removal. Keystone refuses extra attributes of domains and endpoints, and an
object that got one all the same can no longer be listed: those kinds bring their own mark.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._client import Client, look

if TYPE_CHECKING:
    from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import (
        Difference,
        Item,
        ItemChange,
        WantedItem,
    )

MARK = "scs_deploy"

Field = Callable[[Client, Any], Any]
Fields = dict[str, Any]


def same(client: Client, value: Any) -> Any:
    """The API's value of an attribute that needs no translation."""
    return value


@dataclass(frozen=True)
class ObjectKind:
    """``identity`` gives the fields that find an object; ``fields`` maps attributes to API field and translation."""

    collection: str
    singular: str
    identity: Callable[[Client, str, Mapping[str, Any]], dict[str, Any]]
    fields: Mapping[str, tuple[str, Field]]
    identifying: tuple[str, ...] = ()
    """Attributes that are part of the identity and so never differ."""
    extra: Mapping[str, Any] | None = None
    """Set on every object that is created."""
    options: tuple[str, ...] = ()
    """Options that are on for every object of ours."""
    mark: Callable[[str], dict[str, Any]] = lambda name: {MARK: name}
    label: Callable[[Client, Mapping[str, Any]], str] = lambda client, one: str(one.get(MARK) or "")
    """The item's name that an object of ours carries, or nothing."""


def observe(kind: ObjectKind, context: dict[str, Any], wanted: Sequence[WantedItem]) -> list[Item]:
    """Return wanted objects that exist and marked ones that nobody wants."""
    client = look(context)
    found = client.all(kind.collection)
    items: list[Item] = []
    known = set()
    for item in wanted:
        try:
            current = _find(found, kind.identity(client, item["name"], item["attrs"]))
        except LookupError:
            continue
        if current:
            known.add(current["id"])
            items.append(
                {
                    "name": item["name"],
                    "attrs": _attrs(kind, client, item["attrs"], current),
                    "differences": [difference for difference, _ in _flaws(kind, item["attrs"], current)],
                    "secret": "",
                }
            )
    ours = [(kind.label(client, one), one["id"]) for one in found]
    items += [{"name": label, "attrs": {}, "secret": ""} for label, key in ours if label and key not in known]
    return items


def apply(
    kind: ObjectKind, context: dict[str, Any], changes: Sequence[ItemChange], secret_field: str = ""
) -> list[str]:
    """Carry out changes; raises what the client raises."""
    client, done = Client(context), []
    found = client.all(kind.collection)
    for change in changes:
        name, attrs = change["name"], change.get("attrs") or {}
        if change["op"] == "delete":
            for one in [one for one in found if kind.label(client, one) == name]:
                client.request("DELETE", f"/{kind.collection}/{one['id']}")
                found.remove(one)
                done.append(f"deleted {kind.singular} {name}")
            continue
        identity = kind.identity(client, name, attrs)
        body = {field: value(client, attrs[key]) for key, (field, value) in kind.fields.items() if key in attrs}
        if secret_field and change.get("secret"):
            body[secret_field] = change["secret"]
        current = _find(found, identity)
        flaws = _flaws(kind, attrs, current) if current else []
        if current and not body.get(secret_field) and not flaws and _attrs(kind, client, attrs, current) == attrs:
            continue  # bootstrap made it as wanted, and some of what it makes may not be changed at all
        if current:
            for _, repair in flaws:
                body |= repair
            path, sent = f"/{kind.collection}/{current['id']}", {**body, **kind.mark(name)}
            current |= client.request("PATCH", path, {kind.singular: sent})[kind.singular]
        else:
            fresh = {**(kind.extra or {}), **_options(kind), **identity, **body, **kind.mark(name)}
            found.append(client.request("POST", f"/{kind.collection}", {kind.singular: fresh})[kind.singular])
        done.append(f"{'updated' if current else 'created'} {kind.singular} {name}")
    return done


def find(kind: ObjectKind, client: Client, item: WantedItem) -> dict[str, Any] | None:
    """Return the object of an item."""
    return _find(client.all(kind.collection), kind.identity(client, item["name"], item["attrs"]))


def own_name(name: str) -> str:
    """``sales/web`` is the object ``web``: what stands before the slash keeps names of items apart."""
    return name.rpartition("/")[2]


def _find(found: list[dict[str, Any]], identity: Mapping[str, Any]) -> dict[str, Any] | None:
    for one in found:
        if all(one.get(field) == value for field, value in identity.items()):
            return one
    return None


def _attrs(kind: ObjectKind, client: Client, wanted: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wanted attributes with the values that they have: the wanted value where both agree."""
    shown = {key: wanted[key] for key in wanted if key in kind.identifying}
    for key, (field, value) in kind.fields.items():
        if key in wanted:
            try:
                agrees = value(client, wanted[key]) == current.get(field)
            except LookupError:
                agrees = False
            shown[key] = wanted[key] if agrees else current.get(field)
    return shown


def _flaws(kind: ObjectKind, wanted: Mapping[str, Any], current: Mapping[str, Any]) -> list[tuple[Difference, Fields]]:
    """Return differences beyond the wanted attributes, each with the fields that put it right: somebody switched an object off, or
    took an option.
    """
    found: list[tuple[Difference, Fields]] = []
    if current.get("enabled") is False and "enabled" not in wanted:
        found.append(({"what": "enabled", "is": "no", "wanted": "yes"}, {"enabled": True}))
    there = current.get("options") or {}
    missing = [name for name in kind.options if there.get(name) is not True]
    return found + [({"what": name, "is": "off", "wanted": "on"}, _options(kind)) for name in missing]


def _options(kind: ObjectKind) -> dict[str, Any]:
    return {"options": dict.fromkeys(kind.options, True)} if kind.options else {}
