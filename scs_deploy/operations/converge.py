"""Plan and apply in one call, without a console: what Ansible's own playbooks and Molecule use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scs_deploy.machine import environment
from scs_deploy.operations import certificates
from scs_deploy.operations.apply import Report, apply, nothing_to_do, settle
from scs_deploy.operations.plan import Scope, make_plan
from scs_deploy.operations.reach import reach
from scs_deploy.operations.site import find_site
from scs_deploy.operations.store import Store
from scs_deploy.plan.plan import Plan
from scs_deploy.secrets import Preview, Vault, pki


@dataclass(frozen=True, slots=True)
class Converged:
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


def converge(region: str, limit: Sequence[str] = (), services: Sequence[str] = (), *, check: bool = False) -> Converged:
    """Observe, plan and (unless ``check``) apply a region given by name or path.

    Raises what the commands raise: ``InputError``, ``LockedError``, ``DeployError``.
    """
    environment.adopt()
    site = find_site(region)
    certificates.check_public(site.region, pki.utc_now())
    store, vault = Store.of(site.region), Vault.open(site.folder, new=True)
    with store.lock("ansible-playbook"), reach(site.region) as fleet:
        scope = Scope(tuple(limit), tuple(services))
        planned = make_plan(site, store, Preview(vault, site.secrets), fleet, scope)
        if check:
            return Converged(planned.plan, None)
        if planned.plan.empty:
            nothing_to_do(site, store, vault, planned)
            return Converged(planned.plan, None)
        ready = settle(site, store, vault, planned)
        with store.events() as log:
            return Converged(ready.planned.plan, apply(site, store, fleet, ready, log))


def region_folder(inventory_source: str) -> Path:
    """Return the region folder of an Ansible inventory source: the folder itself, or that of its region.yml."""
    path = Path(inventory_source)
    return path.parent if path.name == "region.yml" else path
