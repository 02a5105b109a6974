"""Clusters: who begins one that does not exist yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scs_deploy.desired import Instance
from scs_deploy.diff.inputs import Inputs
from scs_deploy.plan import Step

EMPTY = "empty"
_REASON = "it forms the cluster, as no member holds data; the others join it"


def forming(steps: Sequence[Step], inputs: Inputs) -> list[Step]:
    """Order the first member to form a cluster where all are about to start and every one of them was seen to be empty.

    A member that cannot be asked, or was never reached, may hold the data, so nothing is formed then; a cluster of one needs no
    order.
    """
    starting = {step.id for step in steps if step.kind == "instance" and step.restart}
    first = set()
    for members in _clusters(inputs):
        seen = [inputs.seen(one.node, one.name).get("cluster", {}).get("state") for one in members]
        if len(members) > 1 and set(seen) == {EMPTY} and not inputs.unreachable:
            first.add(next((one.id for one in members if one.id in starting), ""))
    return [_ordered(step) if step.id in first else step for step in steps]


def _clusters(inputs: Inputs) -> list[list[Instance]]:
    """Members in the order of the region's nodes, of components that have a hook to form a cluster."""
    found: dict[str, list[Instance]] = {}
    for node in inputs.region.nodes:
        for one in inputs.sealed.desired.on(node.name):
            if one.hook("form"):
                found.setdefault(one.component, []).append(one)
    hidden = {component for components in inputs.sealed.desired.unrendered.values() for component in components}
    return [members for component, members in found.items() if component not in hidden]


def _ordered(step: Step) -> Step:
    return replace(step, form=True, reasons=(*step.reasons, _REASON))
