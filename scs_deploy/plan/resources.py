"""Resources behind APIs: what their owners would have to create, update or delete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import OwnerSeen
from scs_deploy.ansible_collections.scs.node.plugins.module_utils.resource import ItemSeen, Operation
from scs_deploy.catalogue.ids import ResourcesId
from scs_deploy.plan import dependencies
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Change, Step
from scs_deploy.plan.removals import last_level
from scs_deploy.render.desired import DesiredItem, Owner

NOBODY = "nobody"
"""Whose resources those are that nothing declares any more."""

Seen = Mapping[tuple[str, str], ItemSeen]


def resource_steps(
    nodes: Sequence[str], inputs: Inputs, planned: Sequence[Step], unknown: dict[str, str]
) -> Iterator[Step]:
    """Yield a step per declaring service and owner whose home is one of ``nodes``.

    An owner that cannot tell is entered in ``unknown``, unless this plan brings it to life: then everything is ensured, and what
    nothing declares any more is found by the node once the owner can tell.
    """
    desired = inputs.sealed.desired
    groups: dict[tuple[str, str], list[DesiredItem]] = {(owner, owner): [] for owner in desired.owners}
    for item in desired.items:
        groups.setdefault((item.service, item.owner), []).append(item)
    touched = {step.component for step in planned if step.kind == "instance"}
    for (service, name), items in groups.items():
        owner = desired.owners[name]
        if owner.node not in nodes:
            continue
        answer = inputs.observed[owner.node].owners.get(name, OwnerSeen("unknown", "not deployed"))
        seen: Seen | None = None
        if answer.state == "ok":
            seen = {(kind, item.name): item for kind, found in answer.items.items() for item in found}
        elif _deployed(owner, inputs) and not _repaired(owner, inputs, touched):
            unknown[f"{owner.node}/{owner.instance} resources"] = answer.why
            continue
        if step := _step(service, owner, items, seen, inputs):
            yield step
        if service == name and seen is not None and (step := _removal(owner, seen, inputs)):
            yield step


def deletes(step: Step) -> bool:
    """Tell whether a step deletes what nothing declares any more."""
    return step.kind == "resources" and step.id == ResourcesId(step.node, step.subject, NOBODY)


def _deployed(owner: Owner, inputs: Inputs) -> bool:
    seen = inputs.seen(owner.node, owner.instance)
    return seen is not None and seen.running is not None


def _repaired(owner: Owner, inputs: Inputs, touched: set[str]) -> bool:
    """This plan changes the owner, or something that it needs."""
    key = dependencies.component(owner.component)
    return any(dependencies.component(name) in {key, *inputs.order.predecessors(key)} for name in touched)


def _step(service: str, owner: Owner, items: Sequence[DesiredItem], seen: Seen | None, inputs: Inputs) -> Step | None:
    changes: list[Change] = []
    operations: list[Operation] = []
    for item in items:
        there = (seen or {}).get((item.kind, item.name))
        how = "create" if there is None else _difference(item, there, inputs.sealed.items[item.id])
        if how:
            op: Literal["create", "update"] = "create" if there is None else "update"
            operations.append(
                Operation(item.kind, op, item.name, item.attrs, item.secret, inputs.sealed.items[item.id])
            )
            changes.append(Change(f"{item.kind} {item.name}", how))
    if seen is None and service == owner.service and (kinds := sorted(_prunable(owner, inputs))):
        operations += [Operation(kind, "prune") for kind in kinds]
        changes.append(Change(f"{', '.join(kinds)} that nothing declares any more", "delete, if there are any"))
    if not operations:
        return None
    after_owner = inputs.order.level[dependencies.component(owner.component)] + 1
    return Step(
        id=ResourcesId(owner.node, owner.service, service),
        kind="resources",
        node=owner.node,
        subject=owner.service,
        service=service,
        action="apply",
        level=inputs.order.level.get(dependencies.resources(service, owner.service), after_owner),
        reasons=("they differ" if seen is not None else "their owner cannot tell yet, so all are ensured",),
        changes=tuple(changes),
        operations=tuple(operations),
    )


def _removal(owner: Owner, seen: Seen, inputs: Inputs) -> Step | None:
    """What nothing declares any more goes last: until they are restarted or removed, processes use what they were started with."""
    gone = _orphans(owner, seen, inputs)
    if not gone:
        return None
    return Step(
        id=ResourcesId(owner.node, owner.service, NOBODY),
        kind="resources",
        node=owner.node,
        subject=owner.service,
        service=owner.service,
        action="apply",
        level=last_level(inputs) + 1,
        reasons=("nothing declares them any more",),
        changes=tuple(Change(f"{kind} {name}", "delete: nothing declares it any more") for kind, name in gone),
        operations=tuple(Operation(kind, "delete", name) for kind, name in gone),
    )


def _difference(item: DesiredItem, seen: ItemSeen, wanted_secret: str) -> str:
    attrs = seen.attrs
    parts = [
        f"{key}: {attrs.get(key)!r} becomes {value!r}" for key, value in item.attrs.items() if attrs.get(key) != value
    ]
    for one in seen.differences:
        what, is_, wanted = _plain(one["what"]), _plain(one["is"]), _plain(one["wanted"])
        parts.append(f"{what}: {is_}, wanted {wanted}")
    untried = seen.secret == "unknown"  # noqa: S105 - no password
    if wanted_secret and seen.secret != wanted_secret and (parts or not untried):
        parts.append("secret is set anew" + (", since it cannot be tried" if untried else ""))
    return "; ".join(parts)


def _plain(text: str) -> str:
    """What stands behind an API may be anybody's words: nothing of it reaches a terminal but what can be printed."""
    return text if text and text.isprintable() else repr(text)


def _orphans(owner: Owner, seen: Seen, inputs: Inputs) -> list[tuple[str, str]]:
    """Return what the owner manages and nothing declares; kinds that hold data only with ``purge``."""
    wanted = {(item.kind, item.name) for item in inputs.sealed.desired.items if item.owner == owner.service}
    return sorted(key for key in seen if key not in wanted and _ours(key[0], owner, inputs))


def _prunable(owner: Owner, inputs: Inputs) -> Iterator[str]:
    return (kind for kind in owner.kinds if _ours(kind, owner, inputs))


def _ours(kind: str, owner: Owner, inputs: Inputs) -> bool:
    """Whether what nothing declares any more is deleted."""
    return inputs.purge or kind not in owner.kept
