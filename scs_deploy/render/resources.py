"""Resources behind APIs: who owns which kinds, the items that are wanted, and the files their reconcilers need."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jinja2

from scs_deploy.catalogue.service import Resource
from scs_deploy.errors import InputError
from scs_deploy.render.context import FROM_FACTS
from scs_deploy.render.desired import DesiredItem, File, Owner
from scs_deploy.render.scope import Given, InstanceScope
from scs_deploy.secrets import account_names
from scs_deploy.secrets.placeholders import find, reference

_NO_FACTS = jinja2.StrictUndefined(
    "a resource belongs to the region and not to a node, so it sees neither facts nor vips (vip and vip_name it does see)"
)


def owners_of(given: Given) -> dict[str, Owner]:
    """Return the services that keep resources, by name; only those whose home node is known."""
    services = given.topology.catalogue.services.values()
    kept_kinds = {resource.kind for service in services for resource in service.resources if resource.keep}
    owners = {}
    for service in given.deployed():
        name, owns = service.name, service.owns
        placed = given.topology.placement.of(owns.component) if owns else ()
        if owns and placed and placed[0].node in given.facts:
            kept = tuple(kind for kind in owns.kinds if f"{name}.{kind}" in kept_kinds)
            owners[name] = Owner(name, placed[0].node, placed[0].name, owns.component, owns.kinds, kept)
    return owners


def items_of(given: Given, owners: Mapping[str, Owner]) -> tuple[DesiredItem, ...]:
    """Return what services want of owners; raises ``InputError`` for a kind that nobody keeps.

    An item that is missing here is deleted, so what is known of nodes must not matter: the first instance of a service says
    what it wants, without facts. The items of a service stand in the order of their owner's kinds, in which they are made.
    """
    items: list[DesiredItem] = []
    for service in given.deployed():
        if not service.resources:
            continue
        scope = given.scope(next(one for one in given.topology.placement.placed if one.service == service.name))
        scope = replace(scope, context={**scope.context, **dict.fromkeys(FROM_FACTS, _NO_FACTS)})
        own = [item for resource in service.resources for item in _expand(scope, resource, owners)]
        if scope.asked:
            raise InputError(
                f"a resource has a secret beside its password: {', '.join(sorted(scope.asked))}",
                where=f"roles/{service.name}/service.yml",
                fix="name it as secret:, or leave it out",
            )
        items += sorted(own, key=lambda item: owners[item.owner].kinds.index(item.kind))
    return tuple(_under_their_names(items, given))


def _under_their_names(items: Sequence[DesiredItem], given: Given) -> Iterator[DesiredItem]:
    """Name accounts as they log in now, with both names while they are rotated, and with them what hangs on an account."""
    known: dict[tuple[str, str, str], tuple[account_names.AccountName, ...]] = {}
    for item in items:
        if item.kind in _accounts(given, item.owner):
            secret = next(find(item.secret), "")
            known[item.owner, item.kind, item.name] = account_names.names(secret, given.standings)
    for item in items:
        for one in known.get((item.owner, item.kind, item.name), ()):
            yield replace(item, name=item.name + one.suffix, secret=reference(one.secret) if item.secret else "")
        if item.kind not in _accounts(given, item.owner):
            yield from _hanging(item, given, known)


def _hanging(
    item: DesiredItem, given: Given, known: Mapping[tuple[str, str, str], tuple[account_names.AccountName, ...]]
) -> Iterator[DesiredItem]:
    """An item that names an account in an attribute exists once for each of its names."""
    for kind, hanging in _accounts(given, item.owner).items():
        found = known.get((item.owner, kind, str(item.attrs.get(kind)))) if item.kind in hanging else None
        if found:
            for one in found:
                attrs = {**item.attrs, kind: f"{item.attrs[kind]}{one.suffix}"}
                yield replace(item, name=item.name + one.suffix, attrs=attrs)
            return
    yield item


def _accounts(given: Given, owner: str) -> Mapping[str, tuple[str, ...]]:
    found = given.topology.catalogue.services[owner].owns
    return found.accounts if found else {}


def _expand(scope: InstanceScope, resource: Resource, owners: Mapping[str, Owner]) -> Iterable[DesiredItem]:
    service, given = scope.service, scope.given
    owner, _, kind = resource.kind.partition(".")
    each = given.templates.value(service.name, resource.each, scope.context) if resource.each else [None]
    if not each:
        return
    if owner not in owners and given.topology.placement.of(_owner_component(given, owner)):
        return  # its home node is not known yet
    if owner not in owners or kind not in owners[owner].kinds:
        raise InputError(
            f"resource {resource.kind} of service {service.name} has no owner",
            why=f"service {owner} is not deployed, or does not keep resources of kind {kind}",
            fix=f"enable services.{owner}, or add {owner} to needs in roles/{service.name}/service.yml",
        )
    for value in each:
        inner = replace(scope, context={**scope.context, "item": value})
        yield DesiredItem(
            owner,
            kind,
            inner.string(resource.name),
            _deep(inner, resource.attrs),
            service.name,
            reference(resource.secret) if resource.secret else "",
            resource.keep,
        )


def _owner_component(given: Given, service: str) -> str:
    found = given.topology.catalogue.services.get(service)
    return found.owns.component if found and found.owns else ""


def _deep(scope: InstanceScope, value: Any) -> Any:
    if isinstance(value, str):
        return scope.string(value)
    if isinstance(value, Mapping):
        return {key: _deep(scope, inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_deep(scope, inner) for inner in value]
    return value


def owner_files(scope: InstanceScope, items: Iterable[DesiredItem]) -> list[File]:
    """Return what the home of a service's resources needs to keep them: reconcilers, their context and the wanted items."""
    service, texts = scope.service, scope.given.templates.texts
    assert service.owns  # noqa: S101 - an owner's service has it
    folder = f"{scope.folder}/resources"
    given = {key: scope.string(value) for key, value in service.owns.context.items()}
    own = [item for item in items if item.owner == service.name]
    scope.asked.update(name for item in own for name in find(item.secret))
    wanted = [{"kind": item.kind, "name": item.name, "attrs": item.attrs, "secret": item.secret} for item in own]

    def code(name: str, text: str) -> File:
        return File(f"{folder}/{name}", text, "0644", 0, 0, "none", bookkeeping=True)

    def note(name: str, value: object) -> File:
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        return File(f"{folder}/{name}", text, "0600", 0, 0, "none", opaque=True, format="json", bookkeeping=True)

    scripts = [code(f"{kind}.py", texts[f"{service.name}/resources/{kind}.py"]) for kind in service.owns.kinds]
    shared = [
        code(name.rpartition("/")[2], text)
        for name, text in texts.items()
        if name.startswith(f"{service.name}/resources/_")
    ]
    return [*scripts, *shared, note("context.json", given), note("wanted.json", wanted)]
