"""Plan and apply in one call, without a console: what Ansible's own playbooks and Molecule use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scs_deploy.machine import environment
from scs_deploy.machine.locks import RegionLock
from scs_deploy.nodes.events import EventLog, new_run
from scs_deploy.operations import certificates
from scs_deploy.operations.apply import Report, apply
from scs_deploy.operations.session import Session
from scs_deploy.plan.plan import Plan
from scs_deploy.secrets import pki


@dataclass(frozen=True, slots=True)
class Outcome:
    """A plan and, unless it was only planned, what became of it."""

    plan: Plan
    report: Report | None

    @property
    def failed(self) -> bool:
        return bool(self.plan.unknown or self.plan.refused) or (self.report is not None and not self.report.ok)

    def as_json(self) -> dict[str, Any]:
        failures = self.report.of("failed") if self.report else []
        return {
            "summary": self.plan.summary(),
            "changed": not self.plan.empty,
            "failed": self.failed,
            "steps": [step.id for step in self.plan.steps],
            "unknown": dict(self.plan.unknown),
            "failures": [{"id": result.step.id, **dict(result.error)} for result in failures],
            "plan": [asdict(step) for step in self.plan.steps],
        }


def converge(region: str, limit: Sequence[str] = (), services: Sequence[str] = (), *, check: bool = False) -> Outcome:
    """Observe, plan and (unless ``check``) apply a region given by name or path.

    Raises what the commands raise: ``InputError``, ``LockedError``, ``DeployError``.
    """
    environment.adopt()
    session = Session.open(region)
    certificates.check_public(session.region, pki.utc_now())
    with RegionLock(session.state, "ansible-playbook"):
        observation = session.observe(limit)
        plan = session.plan(observation, limit, services=services)
        if plan.empty and not check:
            session.remember(plan, observation.sealed, set())
        if check or plan.empty:
            return Outcome(plan, None)
        session.may_certify(observation)
        log = EventLog(session.state / "events", new_run())
        try:
            return Outcome(plan, apply(session, plan, observation.sealed, log))
        finally:
            log.close()


def region_folder(inventory_source: str) -> Path:
    """Return the region folder of an Ansible inventory source: the folder itself, or that of its region.yml."""
    path = Path(inventory_source)
    return path.parent if path.name == "region.yml" else path
