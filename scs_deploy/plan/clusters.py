"""Clusters: who begins one that does not exist yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Seen
from scs_deploy.plan import instances
from scs_deploy.plan.inputs import Inputs
from scs_deploy.plan.plan import Action, Step
from scs_deploy.render.desired import ContainerInstance

EMPTY = "empty"
_REASON = "it forms the cluster, as no member holds data"
_OTHERS = "; the others join it"


def forming(steps: Sequence[Step], inputs: Inputs) -> list[Step]:
    """Order the first member that is about to start to form a cluster, where every one of them was seen to be empty.

    A member that cannot be asked, or was never reached, may hold the data, so nothing is formed then. Where none is about to start, all wait for an order
    that was lost, such as by a reboot before it was carried out: then the first that runs is started again.
    """
    found = {step.id: step for step in steps if step.kind == "instance"}
    ordered: dict[str, Step] = {}
    for members in _clusters(inputs):
        seen = [_state(inputs.seen(one.node, one.name)) for one in members]
        if len(members) < members[0].members or set(seen) != {EMPTY}:
            continue
        starting = [one for one in members if one.id in found and found[one.id].restart]
        waiting = [one for one in members if _waits(one, inputs)]
        for one in (starting or waiting)[:1]:
            step = found.get(one.id) or instances.restart_of(one, inputs)
            ordered[one.id] = _ordered(step, _REASON + (_OTHERS if len(members) > 1 else ""))
    kept = [ordered.pop(step.id) if step.kind == "instance" and step.id in ordered else step for step in steps]
    return [*kept, *ordered.values()]


def unformed(inputs: Inputs) -> list[str]:
    """Say which clusters cannot begin, since a member that may hold the data was not heard of; who was is empty."""
    found = []
    for members in _clusters(inputs):
        seen = {one.node: inputs.seen(one.node, one.name) for one in members}
        strange = [node for node, names in inputs.sealed.desired.unrendered.items() if members[0].component in names]
        silent = sorted({*strange, *(node for node, said in seen.items() if not said)})
        if silent and {_state(said) for said in seen.values() if said} == {EMPTY}:
            found.append(
                f"{members[0].component} does not begin its cluster: its member on {', '.join(silent)} was not heard of and may hold"
                " the data; bring it back, or take it out of the region"
            )
    return found


def _waits(one: ContainerInstance, inputs: Inputs) -> bool:
    asked = not inputs.limit or one.node in inputs.limit
    seen = inputs.seen(one.node, one.name)
    return asked and seen is not None and seen.running is not None


def _state(seen: Seen | None) -> str:
    return seen.cluster.state if seen and seen.cluster else ""


def _clusters(inputs: Inputs) -> list[list[ContainerInstance]]:
    """Members in the order of the region's nodes, of components that have a hook to form a cluster."""
    found: dict[str, list[ContainerInstance]] = {}
    for node in inputs.region.nodes:
        for one in inputs.sealed.desired.on(node.name):
            if one.kind == "container" and one.hook("form"):
                found.setdefault(one.component, []).append(one)
    return list(found.values())


def _ordered(step: Step, reason: str) -> Step:
    action: Action = "restart" if step.action in ("start", "reload") else step.action
    return replace(step, form=True, restart=True, reload=False, action=action, reasons=(*step.reasons, reason))
