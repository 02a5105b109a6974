"""What runs where, as rows: made from an observation, for the CLI, JSON and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
            seen = answer.get("instances", {}).get(instance.name, {})
            running = seen.get("running") or {}
            found.append(
                Row(
                    node,
                    instance.name,
                    instance.kind,
                    _state(seen, files_only=instance.kind == "host" and not (instance.unit or instance.apply)),
                    float(running.get("since") or 0),
                    str(running.get("image") or ""),
                    pending.get(instance.id, ""),
                )
            )
    return found


def _state(seen: Mapping[str, Any], files_only: bool) -> str:
    if files_only:
        return "absent" if not seen or seen.get("files") or seen.get("packages", {}).get("missing") else "present"
    if not seen or not seen.get("running"):
        return "absent"
    if seen.get("healthy") is False:
        return f"unhealthy: {seen.get('why', '')}"
    return "healthy" if seen.get("healthy") else str(seen.get("unit", {}).get("active") or "present")
