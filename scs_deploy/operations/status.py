"""What runs where, and whether somebody changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scs_deploy.machine.locks import check_free
from scs_deploy.nodes.fleet import Fleet, Progress
from scs_deploy.operations.plan import Planned, Scope, make_plan
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.plan.drift import Drift, check_undisturbed
from scs_deploy.plan.drift import look as divided
from scs_deploy.secrets import Preview


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


def rows(planned: Planned) -> list[Row]:
    """Return a row per instance, in order of nodes; ``pending`` is what the plan would do to it."""
    pending = {step.id: step.action for step in planned.plan.steps if step.kind == "instance"}
    found = []
    for node, answer in planned.look.observed.items():
        for instance in planned.sealed.desired.on(node):
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


def drift(
    site: Site,
    store: Store,
    preview: Preview,
    fleet: Fleet,
    limit: Sequence[str] = (),
    progress: Progress | None = None,
) -> Drift:
    """Look whether somebody changed what was applied.

    Raises ``LockedError`` when a run was changing the region or a node meanwhile: what differs may be its own.
    """
    check_free(store.state)
    planned = make_plan(site, store, preview, fleet, Scope(tuple(limit)), progress)
    check_free(store.state)
    check_undisturbed(planned.look.observed)
    return divided(planned.plan, planned.sealed, store.applied())


def _state(seen: Mapping[str, Any], files_only: bool) -> str:
    if files_only:
        return "absent" if not seen or seen.get("files") or seen.get("packages", {}).get("missing") else "present"
    if not seen or not seen.get("running"):
        return "absent"
    if seen.get("healthy") is False:
        return f"unhealthy: {seen.get('why', '')}"
    return "healthy" if seen.get("healthy") else str(seen.get("unit", {}).get("active") or "present")
