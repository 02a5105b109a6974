"""Drift: where nodes differ from what was last applied, told apart from what the region asks for since then."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scs_deploy.catalogue.ids import Id, ResourcesId
from scs_deploy.errors import LockedError
from scs_deploy.plan.make import Observed
from scs_deploy.plan.plan import Plan, Step, Wave
from scs_deploy.render.digests import Sealed, digest

Applied = Mapping[Id, str]
"""Instance or resource step -> identity of what was last applied there."""


@dataclass(frozen=True, slots=True)
class Drift:
    """A plan in two parts: ``found`` undoes what somebody else did, ``pending`` is the region's own change."""

    found: Plan
    pending: Plan

    def as_json(self) -> dict[str, Any]:
        return {
            "region": self.found.region,
            "drift": [_shown(step) for step in self.found.steps],
            "pending": [_shown(step) for step in self.pending.steps],
            "unknown": dict(self.found.unknown),
        }

    def metrics(self, now: float) -> str:
        """Return the text that Prometheus' node exporter collects; ``now`` in seconds since the epoch."""
        region = self.found.region
        rows = {
            "scs_deploy_drift_steps": ("Differences that nobody asked for", len(self.found.steps)),
            "scs_deploy_pending_steps": ("Changes of the region that were not applied yet", len(self.pending.steps)),
            "scs_deploy_unknown": ("Nodes and services of which nothing can be said", len(self.found.unknown)),
            "scs_deploy_drift_time_seconds": ("When this was looked at", round(now)),
        }
        return "".join(
            f'# HELP {name} {about}\n# TYPE {name} gauge\n{name}{{region="{region}"}} {value}\n'
            for name, (about, value) in rows.items()
        )


def look(plan: Plan, sealed: Sealed, applied: Applied) -> Drift:
    """Divide a plan by what was last applied; jobs and images are always the region's own change."""
    wanted = identities(sealed)

    def is_drift(step: Step) -> bool:
        name = step.whole
        if step.kind in ("job", "image"):
            return False
        if step.action == "remove":
            return name not in applied
        if step.kind == "resources" and name not in wanted:  # of nobody: somebody's, unless it was declared until now
            group = (step.node, step.subject)
            others = [
                one
                for one in applied.keys() | wanted
                if isinstance(one, ResourcesId) and (one.node, one.owner) == group
            ]
            return all(applied.get(one) == wanted.get(one) for one in others)
        return name in wanted and applied.get(name) == wanted[name]

    return Drift(
        _part(plan, [step for step in plan.steps if is_drift(step)]),
        _part(plan, [step for step in plan.steps if not is_drift(step)]),
    )


def check_undisturbed(observed: Observed) -> None:
    """Raise ``LockedError`` when a run, of this or another controller, was changing a node while it was looked at."""
    held = {node: answer.lock for node, answer in observed.items() if answer.lock}
    if held:
        raise LockedError(
            "another run is changing these nodes, so what differs may be its own",
            where=", ".join(sorted(held)),
            why="; ".join(f"{node}: {one.holder} (run {one.run})" for node, one in sorted(held.items())),
            fix="look again when it has ended",
        )


def recorded(before: Applied, plan: Plan, sealed: Sealed, undone: Collection[str], nodes: Collection[str]) -> Applied:
    """Return what nodes now hold: everything that this plan was about, less the steps that are ``undone``.

    Nodes that are not among the region's ``nodes`` any more are forgotten: one that gets such a name later is a new one.
    """
    applied = {name: one for name, one in before.items() if name.node in nodes}
    wanted = identities(sealed)
    removed = {step.id for step in plan.steps if step.action == "remove"}
    for name in removed.difference(undone):
        applied.pop(name, None)
    for name, service in _places(sealed):
        asked = (not plan.limit or name.node in plan.limit) and (not plan.services or service in plan.services)
        if asked and name.node not in plan.unknown and not {name, name.files}.intersection(undone):
            applied[name] = wanted[name]
    return applied


def identities(sealed: Sealed) -> dict[Id, str]:
    """Return what each instance and each group of resources should be, as digests."""
    found: dict[Id, str] = {
        one.id: sealed.identity(one.id) for group in sealed.desired.instances.values() for one in group
    }
    parts: dict[Id, list[str]] = {}
    for item in sealed.desired.items:
        attrs = json.dumps(item.attrs, sort_keys=True, default=str)
        parts.setdefault(_resources(sealed, item.owner, item.service), []).append(
            digest(item.id, attrs, sealed.items[item.id])
        )
    return found | {name: digest(*sorted(values)) for name, values in parts.items()}


def _places(sealed: Sealed) -> Iterator[tuple[Id, str]]:
    """Name and service of everything that has an identity."""
    for group in sealed.desired.instances.values():
        for one in group:
            yield one.id, one.service
    for owner, service in {(item.owner, item.service) for item in sealed.desired.items}:
        yield _resources(sealed, owner, service), service


def _resources(sealed: Sealed, owner: str, service: str) -> ResourcesId:
    """The id of the step that sets them."""
    return ResourcesId(sealed.desired.owners[owner].node, owner, service)


def _part(plan: Plan, steps: list[Step]) -> Plan:
    chosen = {step.id for step in steps}
    waves = [Wave(wave.number, tuple(step for step in wave.steps if step.id in chosen)) for wave in plan.waves]
    return replace(plan, waves=tuple(wave for wave in waves if wave.steps))


def _shown(step: Step) -> dict[str, Any]:
    return {
        "id": step.id,
        "node": step.node,
        "service": step.service,
        "action": step.action,
        "restart": step.restart,
        "reasons": list(step.reasons),
        "changes": [{"what": one.what, "how": one.how, "diff": one.diff} for one in step.changes],
    }
