"""What runs where, as rows: made from an observation, for the CLI, JSON and tests."""

from __future__ import annotations

from dataclasses import dataclass

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.messages import Seen
from scs_deploy.operations.session import Observation
from scs_deploy.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Row:
    """One instance on a node; ``since`` is seconds since the epoch of its last start, 0 if it does not run."""

    node: str
    instance: str
    kind: str
    state: str
    since: float
    image: str
    pending: str


def rows(observation: Observation, plan: Plan) -> list[Row]:
    """Return a row per instance, in order of nodes; ``pending`` is what a plan would do to it."""
    pending = {step.id: step.action for step in plan.steps if step.kind == "instance"}
    found = []
    for node, answer in observation.observed.items():
        for instance in observation.sealed.desired.on(node):
            seen = answer.instances.get(instance.name)
            running = seen.running if seen else None
            found.append(
                Row(
                    node,
                    instance.name,
                    instance.kind,
                    _state(seen, files_only=instance.kind == "host" and not (instance.unit or instance.apply)),
                    running.since if running else 0.0,
                    running.image if running else "",
                    pending.get(instance.id, ""),
                )
            )
    return found


def _state(seen: Seen | None, files_only: bool) -> str:
    if files_only:
        return "absent" if seen is None or seen.files or seen.packages.missing else "present"
    if seen is None or seen.running is None:
        return "absent"
    if seen.healthy is False:
        return f"unhealthy: {seen.why}"
    return "healthy" if seen.healthy else seen.unit.active or "present"
