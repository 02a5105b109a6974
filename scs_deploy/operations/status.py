"""What runs where, and whether somebody changed it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scs_deploy.ansible_collections.scs.node.plugins.module_utils.question import Seen
from scs_deploy.machine.locks import check_free
from scs_deploy.nodes.answers import OnNode
from scs_deploy.nodes.fleet import Fleet
from scs_deploy.operations.plan import Planned, Scope, make_plan
from scs_deploy.operations.site import Site
from scs_deploy.operations.store import Store
from scs_deploy.plan.drift import Drift, check_undisturbed
from scs_deploy.plan.drift import look as divided
from scs_deploy.secrets import Preview


@dataclass(frozen=True, slots=True)
class StatusRow:
    """One instance on a node; ``since`` is seconds since the epoch of its last start, 0 if it does not run."""

    node: str
    instance: str
    kind: str
    state: str
    since: float
    image: str
    pending: str


def rows(planned: Planned) -> list[StatusRow]:
    """Return a row per instance, in order of nodes; ``pending`` is what the plan would do to it."""
    pending = {step.id: step.action for step in planned.plan.steps if step.kind == "instance"}
    found = []
    for node, answer in planned.look.observed.items():
        for instance in planned.sealed.desired.on(node):
            seen = answer.instances.get(instance.name)
            running = seen.running if seen else None
            found.append(
                StatusRow(
                    node,
                    instance.name,
                    instance.kind,
                    _state(seen, files_only=instance.kind == "host" and instance.files_only),
                    running.since if running else 0.0,
                    running.image if running else "",
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
    progress: OnNode | None = None,
) -> Drift:
    """Look whether somebody changed what was applied.

    Raises ``LockedError`` when a run was changing the region or a node meanwhile: what differs may be its own.
    """
    check_free(store.state)
    planned = make_plan(site, store, preview, fleet, Scope(tuple(limit)), progress)
    check_free(store.state)
    check_undisturbed(planned.look.observed)
    return divided(planned.plan, planned.sealed, store.applied())


def _state(seen: Seen | None, files_only: bool) -> str:
    if files_only:
        return "absent" if seen is None or seen.files or seen.packages.missing else "present"
    if seen is None or seen.running is None:
        return "absent"
    if seen.healthy is False:
        return f"unhealthy: {seen.why}"
    return "healthy" if seen.healthy else seen.unit.active or "present"
